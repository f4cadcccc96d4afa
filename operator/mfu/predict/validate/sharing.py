"""`mfu validate sharing`: what each of two programs keeps of its own rate, predicted against measured pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Final

from mfu.hardware.catalog import load
from mfu.hardware.types import Unmatched
from mfu.predict.sharing.hosts import SHARED_HOST
from mfu.predict.sharing.pair import FITTED, SharingConstants, SharingMode, share
from mfu.predict.sharing.recorded import pace_ratio, program_of

_NO_PAIRS: Final = ("alone", "profile")


@dataclass(frozen=True, slots=True)
class Pair:
    """One measured pair. Shares of the rate alone, in the order of `programs`."""

    programs: tuple[str, ...]
    mode: str
    predicted: tuple[float, ...]
    measured: tuple[float, ...]

    @property
    def errors(self) -> tuple[float, ...]:
        return tuple(abs(a - b) for a, b in zip(self.predicted, self.measured, strict=True))


@dataclass(frozen=True, slots=True)
class SharingReport:
    pairs: tuple[Pair, ...]
    refused: tuple[tuple[str, str], ...]

    @property
    def errors(self) -> tuple[float, ...]:
        return tuple(error for pair in self.pairs for error in pair.errors)

    def document(self) -> dict[str, Any]:
        """The JSON form: absolute errors of kept shares, None where nothing was predicted."""
        rows = [
            {"programs": list(each.programs), "mode": each.mode, "predicted": each.predicted, "measured": each.measured}
            for each in self.pairs
        ]
        return {
            "rows": rows,
            "mae": fmean(self.errors) if self.errors else None,
            "worst": max(self.errors, default=None),
            "refused": [{"line": line, "reason": reason} for line, reason in self.refused],
        }


def read_pairs(text: str) -> list[Mapping[str, Any]]:
    """JSON lines. ValueError naming the line that is none."""
    rows: list[Mapping[str, Any]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number}: is no JSON: {error.msg}") from error
        if not isinstance(row, dict):
            raise ValueError(f"line {number}: is no JSON object")
        rows.append(row)
    return rows


def validate_sharing(
    rows: Sequence[Mapping[str, Any]], host: str = SHARED_HOST, constants: SharingConstants = FITTED
) -> SharingReport:
    """Reads `gpu`, `spec` and `mode` to predict, `share_of_alone` to compare; programs alone are passed over.

    What a host paces is predicted for `host`, and against the rate that was recorded there alone.
    """
    pairs, refused = [], []
    for number, row in enumerate(rows, 1):
        if row.get("mode") in _NO_PAIRS:
            continue
        try:
            pairs.append(_scored(row, host, constants))
        except (KeyError, TypeError, ValueError) as error:
            words = f"has no {error}" if isinstance(error, KeyError) else str(error)
            refused.append((str(number), words))
    return SharingReport(tuple(pairs), tuple(refused))


def _scored(row: Mapping[str, Any], host: str, constants: SharingConstants) -> Pair:
    device = load().resolve(str(row["gpu"]))
    if isinstance(device, Unmatched):
        raise ValueError(f"gpu: {row['gpu']} is no known product")
    specs = [str(each) for each in row["spec"]]
    if len(specs) != 2:
        raise ValueError(f"spec: names {len(specs)} programs, a pair has 2")
    measured = tuple(float(each) for each in row["share_of_alone"])
    first, second = (program_of(each, device.gpu, host) for each in specs)
    kept = share(first, second, SharingMode(row["mode"]), constants)
    predicted = (side.share * pace_ratio(spec, device.gpu, host) for side, spec in zip(kept, specs, strict=True))
    names = tuple(str(each) for each in row.get("programs") or specs)
    return Pair(names, str(row["mode"]), tuple(predicted), measured)

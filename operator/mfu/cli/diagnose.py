"""`mfu diagnose TRACE.jsonl`: recorded runs in, the cause of each one's loss out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mfu.api.causes import Cause
from mfu.cli.output import add_output, print_document
from mfu.cli.recorded_run import placement_of, run_seconds, setup_of
from mfu.observe.assess import Hints, assess
from mfu.observe.assessment import Assessment, Window
from mfu.observe.evidence import trimmed
from mfu.predict import predict
from mfu.predict.types import Prediction
from mfu.telemetry import recorded
from mfu.telemetry.errors import TelemetryError
from mfu.telemetry.recorded import Trace
from mfu.units import percent


def add_parser(subparsers: Any) -> None:
    """Register `mfu diagnose`."""
    parser = subparsers.add_parser("diagnose", help="name the cause of loss", description=__doc__)
    parser.add_argument("trace", type=Path, help="JSON lines, one recorded run each")
    add_output(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Exit status: 0 diagnosed, 2 where the file cannot be read."""
    try:
        results = [diagnosis(trace) for trace in recorded.load(args.trace)]
    except (OSError, UnicodeDecodeError, TelemetryError) as error:
        print(f"mfu diagnose: {_said(args.trace, error)}", file=sys.stderr)
        return 2
    if not results:
        print(f"mfu diagnose: {args.trace}: holds no recorded run; give one JSON object a line", file=sys.stderr)
        return 2
    if args.output != "table":
        print_document(results, args.output)
        return 0
    for result in results:
        print(_text(result))
    return 0


def _said(path: Path, error: OSError | UnicodeDecodeError | TelemetryError) -> str:
    if isinstance(error, OSError):
        return f"{path}: {error.strerror}"
    return f"{path}: is no text file: {error.reason}" if isinstance(error, UnicodeDecodeError) else str(error)


def diagnosis(trace: Trace) -> dict[str, Any]:
    """One recorded run judged by its counters and its declared shape alone."""
    facts = trace.facts
    series = trimmed(trace.series, run_seconds(facts))
    setup, placement = setup_of(facts), placement_of(facts, series)
    expected = None
    if placement is not None and setup is not None:
        answer = predict(setup, placement)
        expected = answer if isinstance(answer, Prediction) else None
    now = float(series.times[-1]) if series.times.size else 0.0
    found = assess(setup, placement, expected=expected, series=series, now=now, hints=Hints(window=Window.START))
    return {"scenario": trace.scenario, **_summary(found)}


def _summary(found: Assessment) -> dict[str, Any]:
    main = found.findings[0] if found.findings else None
    counters = found.best(Window.START)
    cause = found.limit
    shown = found.readings if main is None else main.evidence
    return {
        "cause": _word(cause),
        "confidence": None if main is None and cause is Cause.UNKNOWN else _confidence(found),
        "mfu_counters": None if counters is None else _rounded(counters.mfu),
        "wasted": None if main is None else main.wasted,
        "evidence": {each.name: {"value": each.value, "unit": each.unit} for each in shown},
        "counterfactual": None if main is None else _rounded(main.counterfactual_mfu),
        "action": "" if main is None else main.action,
        "message": "" if main is None else main.message,
        "others": [{"cause": _word(each.cause), "confidence": each.confidence} for each in found.findings[1:]],
    }


def _word(cause: Cause) -> str:
    """The word that traces use, the API's where they have none."""
    return cause.truth or str(cause)


def _confidence(found: Assessment) -> float:
    """Of the main finding; without one, as much as of the counters was there to speak up."""
    if found.findings:
        return found.findings[0].confidence
    best = found.best(Window.START)
    return 0.0 if best is None else round(0.9 * best.coverage, 3)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _text(result: Mapping[str, Any]) -> str:
    mfu, fixed = result["mfu_counters"], result["counterfactual"]
    after = "" if fixed is None else f" → {percent(fixed)}"
    evidence = ", ".join(f"{name} {_quantity(each)}" for name, each in result["evidence"].items())
    lines = [f"{result['scenario']}: {result['cause']} (confidence {result['confidence']}), MFU {percent(mfu)}{after}"]
    lines += [f"  {each}" for each in (result["message"], result["action"], evidence) if each]
    return "\n".join(lines)


def _quantity(item: Mapping[str, Any]) -> str:
    value, unit = item["value"], item["unit"]
    if unit == "fraction":
        return percent(value)
    if unit == "Hz":
        return f"{value / 1e6:.0f} MHz"
    return f"{value:g} {unit}".rstrip() if isinstance(value, float) else f"{value} {unit}".rstrip()

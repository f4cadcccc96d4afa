"""Long memory in the types of the API: efficiency per setting, and the last change of it."""

from __future__ import annotations

from collections.abc import Sequence

from mfu.api import workload_status as api
from mfu.engine.text import moment
from mfu.observe.drift import Drift
from mfu.observe.history import Entry
from mfu.units import decimal


def history_rows(history: Sequence[Entry]) -> tuple[api.History, ...]:
    """`status.history`, newest first."""
    return tuple(map(_row, history))


def _row(entry: Entry) -> api.History:
    identity = entry.identity
    return api.History(
        model=identity.model[:256],
        setting=identity.setting[:256],
        model_version=identity.version[:256],
        product=identity.product[:64],
        gpus=identity.gpus,
        before=decimal(entry.before),
        after=decimal(entry.mfu),
        promised=decimal(entry.promised),
        kept=entry.kept,
        samples=entry.samples,
        advised_setting=entry.advice.setting[:256] if entry.advice else None,
        advised_gain=decimal(entry.advice.gain) if entry.advice else None,
        changed_at=moment(entry.changed_at),
    )


def drift_row(found: Drift | None) -> api.Drift | None:
    """`status.drift`."""
    if found is None:
        return None
    return api.Drift(
        kind=str(found.kind),
        against=found.against,
        before=f"{found.before:.4f}",
        after=f"{found.after:.4f}",
        at=moment(found.at),
    )

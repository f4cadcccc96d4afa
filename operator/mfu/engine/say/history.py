"""Long memory in the types of the API: efficiency per setting, the last change of it, and what looks for the next."""

from __future__ import annotations

from collections.abc import Sequence

from mfu.api import workload_status as api
from mfu.engine.text import moment
from mfu.observe.drift import Drift, DriftState, RunUp, SteadyStretch
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
        before=f"{found.before:.4f}",
        after=f"{found.after:.4f}",
        at=moment(found.at),
        product=found.product[:64],
        node=found.where.node[:256] if found.where else "",
        gpu=(found.where.gpu or "")[:64] if found.where else "",
        evidence=found.where.evidence[:256] if found.where else "",
    )


def watch_row(state: DriftState, sampled_at: float) -> api.ChangeWatch | None:
    """`status.watch`."""
    if state.identity is None:
        return None
    return api.ChangeWatch(
        sampled_at=moment(sampled_at),
        regime=_stretch(state.regime),
        rise=_run(state.rise),
        fall=_run(state.fall),
        base=None if state.base is None else _number(state.base),
        before=None if state.before is None else _stretch(state.before),
        changed=str(state.changed or ""),
        rests_since=None if state.rests_since is None else moment(state.rests_since),
    )


def _stretch(each: SteadyStretch) -> api.WatchedStretch:
    return api.WatchedStretch(
        since=moment(each.since),
        mean=_number(each.mean),
        variance=_number(each.variance),
        carried=_number(each.carried),
        samples=each.samples,
    )


def _run(each: RunUp) -> api.WatchedRun | None:
    if each.since is None:
        return None
    return api.WatchedRun(
        total=_number(each.total),
        recent=tuple(map(_number, each.recent)),
        samples=each.samples,
        since=moment(each.since),
    )


def _number(value: float) -> str:
    """Four digits would not tell a variance."""
    return f"{value:.7g}"

"""The search for changes, read back from status after a restart. Damaged figures raise ValueError or are forgotten."""

from __future__ import annotations

from math import isfinite

from mfu.api import workload_status as api
from mfu.engine.text import epoch
from mfu.observe.drift import Drift, DriftKind, DriftState, Identity, RunUp, SteadyStretch
from mfu.observe.whereabouts import Whereabouts


def restored_state(said: api.ChangeWatch, identity: Identity) -> tuple[DriftState, float]:
    """State as it stood at the time that comes with it (Unix seconds). Raises ValueError."""
    state = DriftState(
        identity=identity,
        regime=_stretch(said.regime),
        rise=_run(said.rise),
        fall=_run(said.fall),
        base=None if said.base is None else _finite(said.base),
        before=None if said.before is None else _stretch(said.before),
        changed=DriftKind(said.changed) if said.changed else None,
        rests_since=None if said.rests_since is None else epoch(said.rests_since),
    )
    return state, epoch(said.sampled_at)


def restored_drift(said: api.Drift | None) -> Drift | None:
    """The last change; None where it does not read."""
    if said is None:
        return None
    where = Whereabouts(said.node, said.gpu or None, said.evidence) if said.node else None
    try:
        kind, before, after = DriftKind(said.kind), _finite(said.before), _finite(said.after)
        return Drift(kind, before, after, epoch(said.at), said.product, where)
    except ValueError:
        return None


def _stretch(said: api.WatchedStretch) -> SteadyStretch:
    variance = max(0.0, _finite(said.variance))
    return SteadyStretch(epoch(said.since), _finite(said.mean), variance, said.samples, _finite(said.carried or "0"))


def _run(said: api.WatchedRun | None) -> RunUp:
    if said is None or said.since is None:
        return RunUp()
    return RunUp(_finite(said.total), epoch(said.since), said.samples, tuple(map(_finite, said.recent)))


def _finite(text: str) -> float:
    """ "1e999" is a decimal string as well."""
    value = float(text)
    if not isfinite(value):
        raise ValueError(text)
    return value

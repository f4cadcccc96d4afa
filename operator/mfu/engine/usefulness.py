"""What each replica of a service does: the tokens that it wrote per second in the last two minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mfu.act.costs import ReplicaUse
from mfu.engine.demand import RECENT_SECONDS
from mfu.engine.views import PodView
from mfu.observe.progress import rate
from mfu.observe.readings import Counter, WorkloadSeries

_COUNTERS: Final = (Counter.DECODE_TOKENS, Counter.PREFILL_TOKENS)


def uses(series: WorkloadSeries | None, pods: Sequence[PodView]) -> tuple[ReplicaUse, ...]:
    """One for each pod that has a node; nothing where one of them does not tell: then nobody knows who does least."""
    bound = [pod for pod in pods if pod.bound]
    if series is None or not series.progress or any(each.scope_total for each in series.progress):
        return ()
    newest = series.progress[-1].observed_at
    found = []
    for pod in bound:
        mine = [each for each in series.progress if (each.namespace, each.pod) == (pod.namespace, pod.name)]
        rates = [rate(mine, counter, since=newest - RECENT_SECONDS, now=newest) for counter in _COUNTERS]
        if rates[0] is None:
            return ()
        total = sum(each.per_second for each in rates if each is not None)
        found.append(ReplicaUse(pod.uid, pod.name, total, pod.deletion_cost))
    return tuple(found)

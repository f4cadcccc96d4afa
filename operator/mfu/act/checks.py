"""What is answered where Kueue asks whether a workload may start. Pure.

Kueue holds quota while a check is Pending and has no timer for it, so each question gets an answer: that of the
decision where the policy lets it act, Ready in every other case. What is learned of the manager (0.17) and held here:

- Retry while the Workload is Evicted strands it (kueue#3543): such a question is left alone, it is asked anew.
- A nodeSelector that contradicts a flavor's label ends the Workload while its Job stays suspended for ever; one that
  contradicts the hosts of topology-aware scheduling leaves its pods behind Kueue's own gate. Neither is ever sent.
- `requeueAfterSeconds` that is left out keeps its last value: it is always said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from mfu.act.gates import left_seconds

RETRY_SECONDS: Final = 60
"""Between two answers that hold a workload back. Kueue 0.17 keeps its quota meanwhile: refuse what should not."""
UNDECLARED_SECONDS: Final = 5.0
"""How long a question waits for a ModelWorkload that is created beside its Job."""


class CheckState(StrEnum):
    """Kueue's words: https://kueue.sigs.k8s.io/docs/concepts/admission_check/"""

    PENDING = "Pending"
    READY = "Ready"
    RETRY = "Retry"
    REJECTED = "Rejected"


@dataclass(frozen=True, slots=True)
class PodSet:
    """One template of a Workload, and what Kueue has assigned to it."""

    name: str
    selector: Mapping[str, str] = field(default_factory=dict)
    """Its own nodeSelector."""
    flavors: tuple[str, ...] = ()
    topology: bool = False
    """Kueue chooses its hosts by itself."""


@dataclass(frozen=True, slots=True)
class CheckQuestion:
    """Our check on one of Kueue's Workloads."""

    namespace: str
    workload: str
    """Name of Kueue's Workload."""
    uid: str
    version: str
    check: str
    state: CheckState = CheckState.PENDING
    since: float = 0.0
    """Unix seconds of its last change."""
    reserved: bool = True
    evicted: bool = False
    active: bool = True
    pod_sets: tuple[PodSet, ...] = ()

    @property
    def asked(self) -> bool:
        """Whether an answer is waited for, and may be given."""
        return self.state is CheckState.PENDING and self.reserved and self.active and not self.evicted

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.workload}/{self.uid}"


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """What is written to our entry of `status.admissionChecks`, if the Workload is still as it was seen."""

    question: CheckQuestion
    state: CheckState
    message: str
    retry_seconds: int = 0
    selectors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Node labels to add, by pod set."""

    @property
    def entry(self) -> dict[str, Any]:
        """Without its time."""
        updates = [{"name": name, "nodeSelector": dict(each)} for name, each in sorted(self.selectors.items())]
        said = {"name": self.question.check, "state": str(self.state), "message": self.message[:32_768]}
        return {**said, "requeueAfterSeconds": self.retry_seconds, **({"podSetUpdates": updates} if updates else {})}


def answered(
    question: CheckQuestion, change: Mapping[str, Any], flavor_labels: Mapping[str, Mapping[str, str]]
) -> CheckAnswer:
    """What a decision answers: `change` has its state, message and, where it is a place, the labels of its nodes."""
    state, message = CheckState(change["state"]), str(change["message"])
    retry_seconds = RETRY_SECONDS if state is CheckState.RETRY else 0
    wanted = change.get("nodeSelector") if state is CheckState.READY else None
    selectors, why_not = _selectors(question, wanted, flavor_labels) if wanted else ({}, "")
    return CheckAnswer(question, state, f"{message}; {why_not}" if why_not else message, retry_seconds, selectors)


def unheld(question: CheckQuestion, why: str) -> CheckAnswer:
    """It may start: nothing of ours keeps it."""
    return CheckAnswer(question, CheckState.READY, why)


def _selectors(
    question: CheckQuestion, wanted: Mapping[str, str], flavor_labels: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, Mapping[str, str]], str]:
    """Labels to add by pod set, or why none are: all of them or nothing."""
    found: dict[str, Mapping[str, str]] = {}
    for each in question.pod_sets:
        if each.topology:
            return {}, "no nodes are named: Kueue chooses the hosts itself (topology-aware scheduling)"
        unknown = [name for name in each.flavors if name not in flavor_labels]
        if unknown:
            return {}, f"no nodes are named: the labels of flavor {unknown[0]} are not known"
        fixed = {**each.selector, **{k: v for name in each.flavors for k, v in flavor_labels[name].items()}}
        against = sorted(key for key, value in wanted.items() if fixed.get(key, value) != value)
        if against:
            key = against[0]
            return {}, f"no nodes are named: {key} is {fixed[key]} already, decided was {wanted[key]}"
        found[each.name] = {key: value for key, value in wanted.items() if key not in fixed}
    return {name: labels for name, labels in found.items() if labels}, ""


def overdue(
    questions: Iterable[CheckQuestion], deadline_seconds: Mapping[str, float], now: float, waited: Mapping[str, float]
) -> tuple[CheckQuestion, ...]:
    """Those that nobody answered in time, by namespace as for gates; `waited` in seconds by `key`, as we saw it."""

    def left(each: CheckQuestion) -> float:
        seen = waited.get(each.key, 0.0)
        return left_seconds(each.namespace, each.since, now=now, waited=seen, deadline_seconds=deadline_seconds)

    return tuple(each for each in questions if each.asked and left(each) <= 0)

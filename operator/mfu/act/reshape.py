"""One node gets another MIG layout: cordon, drain, label, wait, uncordon; and back to the last good one when it fails.

NVIDIA's mig-manager acts on the label nvidia.com/mig.config and answers in nvidia.com/mig.config.state (pending,
rebooting, success, failed). It does not move anybody's pods, so that they leave first, within their budgets. Where they
do not leave in time nothing was changed, and the node is given back as it was. Every way through ends with the node
uncordoned.

What is kept of a reshape is one value that can be written on the node and read back: an operator that was killed goes
on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

SUCCESS, FAILED = "success", "failed"
FORSAKEN_SECONDS: Final = 1800.0
"""No part of a way takes half as long while anybody is at it (`ReshapeTerms`)."""


class ReshapePhase(StrEnum):
    CORDON = "Cordon"
    DRAIN = "Drain"
    LABEL = "Label"
    CONFIGURE = "Configure"
    """mig-manager works."""
    ALLOCATABLE = "Allocatable"
    """The device plugin is to offer what was asked for."""
    ROLL_BACK = "RollBack"
    UNCORDON = "Uncordon"
    DONE = "Done"


class NodeVerb(StrEnum):
    CORDON = "Cordon"
    EVICT = "Evict"
    """All pods that hold GPUs of it, by the Eviction API: budgets hold."""
    LABEL = "Label"
    UNCORDON = "Uncordon"


@dataclass(frozen=True, slots=True)
class NodeOrder:
    """One write to the node; sent again until the node shows it."""

    verb: NodeVerb
    config: str = ""


@dataclass(frozen=True, slots=True)
class NodeShown:
    """The node as the cluster shows it."""

    schedulable: bool
    gpu_pods: int
    """Pods on it that hold GPUs or slices."""
    config: str
    state: str
    allocatable: Mapping[str, int]
    """Slices by resource name."""


@dataclass(frozen=True, slots=True)
class ReshapeTerms:
    """Seconds that each part may take."""

    drain_seconds: float = 900.0
    configure_seconds: float = 900.0
    allocatable_seconds: float = 300.0


@dataclass(frozen=True, slots=True)
class Reshape:
    """How far one node is. `outcome` is empty until it is decided how it ends."""

    node: str
    config: str
    last_good: str
    wanted: Mapping[str, int]
    """Slices by resource name that the new layout offers."""
    had: Mapping[str, int]
    """And those that the last good one offered."""
    phase: ReshapePhase = ReshapePhase.CORDON
    since: float = 0.0
    """Unix seconds at which the phase began."""
    moved: bool = False
    """mig-manager was seen at work since the label: an old success is not taken for a new one."""
    outcome: str = ""


def begun(shown: NodeShown, *, node: str, config: str, wanted: Mapping[str, int], now: float) -> Reshape | str:
    """A reshape of a node, or why none is begun: what somebody else cordoned is left alone."""
    if not shown.schedulable:
        return f"{node} is cordoned already, by somebody else"
    if shown.state != SUCCESS:
        return f"{node} shows mig.config.state {shown.state or 'of nothing'}: a layout is being made, or failed"
    if shown.config == config:
        return f"{node} has {config} already"
    return Reshape(node, config, shown.config, wanted, dict(shown.allocatable), since=now)


def proceeded(
    going: Reshape, shown: NodeShown, now: float, terms: ReshapeTerms | None = None
) -> tuple[Reshape, NodeOrder | None]:
    """One step on, by what the node shows; the order is what to write now, None to wait. Pure, and safe to repeat."""
    terms = terms or ReshapeTerms()
    for _ in ReshapePhase:
        after = _STEPS[going.phase](going, shown, now, terms)
        if after.phase is going.phase:
            return after, _order(after, shown)
        going = replace(after, since=now)
    return going, _order(going, shown)


def _order(going: Reshape, shown: NodeShown) -> NodeOrder | None:
    match going.phase:
        case ReshapePhase.CORDON:
            return NodeOrder(NodeVerb.CORDON)
        case ReshapePhase.DRAIN:
            return NodeOrder(NodeVerb.EVICT)
        case ReshapePhase.LABEL:
            return NodeOrder(NodeVerb.LABEL, going.config)
        case ReshapePhase.ROLL_BACK if shown.config != going.last_good:
            return NodeOrder(NodeVerb.LABEL, going.last_good)
        case ReshapePhase.UNCORDON:
            return NodeOrder(NodeVerb.UNCORDON)
    return None


def _cordon(going: Reshape, shown: NodeShown, now: float, terms: ReshapeTerms) -> Reshape:
    if not shown.schedulable:
        return _to(going, ReshapePhase.DRAIN)
    late = now - going.since > terms.drain_seconds
    return _ending(going, "the node could not be cordoned; nothing was changed") if late else going


def _drain(going: Reshape, shown: NodeShown, now: float, terms: ReshapeTerms) -> Reshape:
    if shown.gpu_pods == 0:
        return _to(going, ReshapePhase.LABEL)
    if now - going.since <= terms.drain_seconds:
        return going
    stayed = f"{shown.gpu_pods} pods did not leave within {terms.drain_seconds:.0f} s"
    return _ending(going, f"{stayed}; nothing was changed")


def _label(going: Reshape, shown: NodeShown, now: float, terms: ReshapeTerms) -> Reshape:
    if shown.config == going.config:
        return replace(_to(going, ReshapePhase.CONFIGURE), moved=False)
    late = now - going.since > terms.configure_seconds
    return _ending(going, "the label could not be written; nothing was changed") if late else going


def _configure(going: Reshape, shown: NodeShown, now: float, terms: ReshapeTerms) -> Reshape:
    going = replace(going, moved=going.moved or shown.state != SUCCESS)
    if shown.state == SUCCESS and (going.moved or _offers(shown, going.wanted)):
        return _to(going, ReshapePhase.ALLOCATABLE)
    if shown.state == FAILED:
        return _back(going, f"mig-manager failed to make {going.config}")
    late = now - going.since > terms.configure_seconds
    return _back(going, f"{going.config} was not made within {terms.configure_seconds:.0f} s") if late else going


def _allocatable(going: Reshape, shown: NodeShown, now: float, terms: ReshapeTerms) -> Reshape:
    if _offers(shown, going.wanted):
        return _ending(going, f"{going.config} is made")
    late = now - going.since > terms.allocatable_seconds
    return _back(going, f"slices of {going.config} were not offered in time") if late else going


def _roll_back(going: Reshape, shown: NodeShown, now: float, terms: ReshapeTerms) -> Reshape:
    """Also a node that can not be brought back is uncordoned: the scheduler sees what it offers."""
    back = shown.config == going.last_good
    going = replace(going, moved=going.moved or (back and shown.state not in (SUCCESS, FAILED)))
    # The success may be of the layout that came too late.
    if back and shown.state == SUCCESS and _offers(shown, going.had):
        return _ending(going, f"{going.outcome}; {going.last_good} is made again")
    failed = back and going.moved and shown.state == FAILED
    if failed or now - going.since > terms.configure_seconds:
        return _ending(going, f"{going.outcome}; {going.last_good} could not be made again either")
    return going


def _uncordon(going: Reshape, shown: NodeShown, now: float, terms: ReshapeTerms) -> Reshape:
    return _to(going, ReshapePhase.DONE) if shown.schedulable else going


def _done(going: Reshape, shown: NodeShown, now: float, terms: ReshapeTerms) -> Reshape:
    return going


_STEPS: Final[Mapping[ReshapePhase, Callable[[Reshape, NodeShown, float, ReshapeTerms], Reshape]]] = {
    ReshapePhase.CORDON: _cordon,
    ReshapePhase.DRAIN: _drain,
    ReshapePhase.LABEL: _label,
    ReshapePhase.CONFIGURE: _configure,
    ReshapePhase.ALLOCATABLE: _allocatable,
    ReshapePhase.ROLL_BACK: _roll_back,
    ReshapePhase.UNCORDON: _uncordon,
    ReshapePhase.DONE: _done,
}


def _to(going: Reshape, phase: ReshapePhase) -> Reshape:
    return replace(going, phase=phase)


def _ending(going: Reshape, outcome: str) -> Reshape:
    return replace(going, phase=ReshapePhase.UNCORDON, outcome=outcome)


def _back(going: Reshape, outcome: str) -> Reshape:
    return replace(going, phase=ReshapePhase.ROLL_BACK, outcome=outcome, moved=False)


def _offers(shown: NodeShown, wanted: Mapping[str, int]) -> bool:
    return all(shown.allocatable.get(name, 0) == count for name, count in wanted.items())


def forsaken(going: Reshape | None, now: float, waited_seconds: float) -> bool:
    """Whether nobody takes the node further. `waited_seconds`: for which we have seen it stand where it is.

    The longer of that and the age of its part counts, as for pods behind our gate: a clock that lags behind the one
    that wrote it must not keep a node for ever.
    """
    age = 0.0 if going is None else now - going.since
    return max(age, waited_seconds) >= FORSAKEN_SECONDS


def written(going: Reshape) -> str:
    """For the node's annotation."""
    return json.dumps(asdict(going), sort_keys=True, separators=(",", ":"))


def read_back(text: str) -> Reshape | None:
    """None for anything that `written` did not write: nothing is known of it then."""
    try:
        document: dict[str, Any] = json.loads(text)
        slices = {name: dict(document[name]) for name in ("wanted", "had")}
        return Reshape(**{**document, **slices, "phase": ReshapePhase(document["phase"])})
    except (ValueError, TypeError, KeyError):
        return None

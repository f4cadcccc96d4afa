"""When a gate of ours has been shut long enough: after its policy's deadline a pod runs as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from mfu.api.mfupolicy import PolicySpec
from mfu.decide.policy import DEFAULT, NamedPolicy, governing, problem

DEFAULT_SECONDS: Final = DEFAULT.gate_deadline_seconds
"""Where no policy governs, or none that is valid."""


class Waits(Protocol):
    """What waits for us until its deadline."""

    @property
    def namespace(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def created_at(self) -> float: ...
    @property
    def key(self) -> str: ...


W = TypeVar("W", bound=Waits)


@dataclass(frozen=True, slots=True)
class HeldPod:
    """A pod behind our gate."""

    namespace: str
    name: str
    uid: str
    created_at: float
    """Unix seconds, by the API server's clock."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"


def deadlines(
    policies: Mapping[str, PolicySpec | None], namespaces: Mapping[str, Mapping[str, str]]
) -> dict[str, float]:
    """Seconds by namespace, from specs by policy name and labels by namespace; others have DEFAULT_SECONDS."""
    valid = [NamedPolicy(name, spec) for name, spec in policies.items() if spec is not None and problem(spec) is None]
    governed = governing(valid, namespaces)
    return {namespace: float(policy.spec.gate.deadline_seconds) for namespace, policy in governed.items()}


def left_seconds(
    namespace: str, since: float, *, now: float, waited: float, deadline_seconds: Mapping[str, float]
) -> float:
    """Until the deadline of what waits since then; 0 or less when it is over.

    `waited`: seconds for which we ourselves have seen it wait. The longer of that and its age counts: a clock that lags
    behind the API server's must not keep anybody for ever.
    """
    return deadline_seconds.get(namespace, DEFAULT_SECONDS) - max(now - since, waited)


def overdue(
    held: Iterable[W], deadline_seconds: Mapping[str, float], now: float, waited: Mapping[str, float]
) -> tuple[W, ...]:
    """Those whose time is over, the oldest first; `waited` in seconds by uid."""

    def left(each: W) -> float:
        seen = waited.get(each.uid, 0.0)
        return left_seconds(each.namespace, each.created_at, now=now, waited=seen, deadline_seconds=deadline_seconds)

    return tuple(sorted((each for each in held if left(each) <= 0), key=lambda each: (each.created_at, each.key)))

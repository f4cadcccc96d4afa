"""When a gate of ours has been shut long enough: after its policy's deadline a pod runs as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mfu.api.mfupolicy import PolicySpec
from mfu.decide.policy import DEFAULT, NamedPolicy, governing, problem

DEFAULT_SECONDS: Final = DEFAULT.gate_deadline_seconds
"""Where no policy governs, or none that is valid."""


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
    held: Iterable[HeldPod], deadline_seconds: Mapping[str, float], now: float, waited: Mapping[str, float]
) -> tuple[HeldPod, ...]:
    """Those whose time is over, the oldest first; `waited` in seconds by uid."""

    def left(pod: HeldPod) -> float:
        seen = waited.get(pod.uid, 0.0)
        return left_seconds(pod.namespace, pod.created_at, now=now, waited=seen, deadline_seconds=deadline_seconds)

    return tuple(sorted((pod for pod in held if left(pod) <= 0), key=lambda pod: (pod.created_at, pod.key)))

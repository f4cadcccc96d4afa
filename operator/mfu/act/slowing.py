"""The soft taint on a node that is slower than its peers: put on, renewed while it is so, and given back. Pure.

`PreferNoSchedule` keeps nobody away: the scheduler takes another node where one is free. The taint says itself until
when it holds (the label of the same name, Unix seconds): who does not renew it has nothing to say any more, and the
operator or the release keeper takes it off.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mfu.act.types import Action, Addressee
from mfu.api.names import GROUP
from mfu.api.powers import ActionType
from mfu.decide.fleet.slow_nodes import SlowNode
from mfu.decide.types import DecisionType

SLOW: Final = f"{GROUP}/slow"
"""Key of the taint, and of the label that says until when."""
EFFECT: Final = "PreferNoSchedule"
SLOW_VALID_SECONDS: Final = 3600.0
RENEWED_SECONDS: Final = 1800.0
"""Less than this left: it is renewed."""


@dataclass(frozen=True, slots=True)
class SlowOrder:
    """A node that is to carry our taint until then, or with None not any more. Said until the cluster shows it."""

    node: str
    words: str
    until: int | None
    """Unix seconds."""

    @property
    def key(self) -> str:
        return f"slow/{self.node}"

    @property
    def digest(self) -> str:
        """Of the attempt: half an hour more is another one."""
        return f"{self.until is not None} {(self.until or 0) // int(RENEWED_SECONDS)}"


def slow_action(slow: SlowNode, workload: str) -> Action:
    """Attributed to one of the workloads that show it."""
    return Action(
        type=ActionType.PREFER_NO_SCHEDULE,
        workload=workload,
        target=Addressee("Node", slow.node),
        words=slow.words,
        change={"taint": SLOW, "effect": EFFECT},
        decides=DecisionType.PLACEMENT,
    )


def until_of(labels: Mapping[str, str]) -> int | None:
    """What the label says; 0 where it is not to be read, so that it is over."""
    text = labels.get(SLOW)
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0


def expired(until: int, now: float, waited_seconds: float) -> bool:
    """`waited_seconds`: for which we have seen it unchanged. The clock that wrote it may run ahead of ours."""
    return now >= until or waited_seconds >= SLOW_VALID_SECONDS

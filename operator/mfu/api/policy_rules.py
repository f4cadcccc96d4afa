"""CEL rules of MFUPolicy."""

from __future__ import annotations

from typing import Final

from mfu.api.cel import CELRule

SCALING_RULES: Final = (
    CELRule(
        rule="self.minReplicas <= self.maxReplicas",
        message="scaling.minReplicas is {self.minReplicas} but maxReplicas is {self.maxReplicas}: raise maxReplicas",
        fallback="scaling.minReplicas must not exceed maxReplicas",
        field=".minReplicas",
    ),
)

SHARING_RULES: Final = (
    CELRule(
        rule="!self.acrossNamespaces || self.methods.all(method, method == 'MIG')",
        message=(
            "sharing.acrossNamespaces needs isolation: allow only MIG in methods, or keep sharing within a namespace"
        ),
        field=".acrossNamespaces",
    ),
)

_POWER: Final = "(step.action == 'Suspend' ? 3 : step.action == 'Event' ? 2 : 1)"

RECLAIM_RULES: Final = (
    CELRule(
        rule=(
            "!has(self.steps) || self.steps.map(step, step.afterIdleMinutes).isSorted() && "
            "self.steps.all(step, self.steps.exists_one(other, other.afterIdleMinutes == step.afterIdleMinutes))"
        ),
        message="reclaim.steps: afterIdleMinutes must rise from rung to rung: order them by idle time, each time once",
        field=".steps",
    ),
    CELRule(
        rule=f"!has(self.steps) || self.steps.map(step, {_POWER}).isSorted()",
        message="reclaim.steps: a rung is weaker than the one before: order them Annotate, Event, Suspend",
        field=".steps",
    ),
)

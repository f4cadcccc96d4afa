"""CEL rules of MFUPolicy."""

from __future__ import annotations

from typing import Final

from mfu.api.cel import Rule

SCALING_RULES: Final = (
    Rule(
        rule="self.minReplicas <= self.maxReplicas",
        message="scaling.minReplicas is {self.minReplicas} but maxReplicas is {self.maxReplicas}: raise maxReplicas",
        fallback="scaling.minReplicas must not exceed maxReplicas",
        field=".minReplicas",
    ),
)

SHARING_RULES: Final = (
    Rule(
        rule="!self.acrossNamespaces || self.methods.all(method, method == 'MIG')",
        message=(
            "sharing.acrossNamespaces needs isolation: allow only MIG in methods, or keep sharing within a namespace"
        ),
        field=".acrossNamespaces",
    ),
)

POLICY_RULES: Final = (
    Rule(
        rule=(
            "!has(self.reclaim) || self.reclaim.map(step, step.afterIdleMinutes).isSorted() && "
            "self.reclaim.all(step, self.reclaim.exists_one(other, other.afterIdleMinutes == step.afterIdleMinutes))"
        ),
        message="reclaim.afterIdleMinutes must rise from rung to rung: order the rungs by idle time, each time once",
        field=".reclaim",
    ),
)

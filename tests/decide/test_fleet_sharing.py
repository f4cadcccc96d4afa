"""Who shares is told with all others: both of a pair, nobody else, and under the policy of each."""

from __future__ import annotations

from dataclasses import replace

from mfu.api.mfupolicy import SharingMethod
from mfu.decide.fleet.sharing import Sharer
from mfu.decide.fleet.standing import Standing
from mfu.decide.types import Decision, DecisionType, EffectivePolicy, Mode, Outcome, SharingRules
from mfu.predict.sharing.program import SharedProgram
from tests.builders.cases import gpu
from tests.builders.fleets import decided, nodes_of, waits

SLEEPY = SharedProgram(0.002, 0.2, 0.002, 264, 0.2, 0.1)
GROW = Decision(DecisionType.SCALING, Outcome.SCALE, "LoadAboveCapacity", "3 replicas")


def shares(name: str, mode: Mode = Mode.RECOMMEND) -> Standing:
    policy = EffectivePolicy(modes={DecisionType.SHARING: mode})
    rules = SharingRules(methods=(SharingMethod.MIG,))
    made = Sharer(f"team/{name}", "team", gpu(), SLEEPY, 4e9, rules=rules)
    return Standing(f"team/{name}", sharer=made, policy=policy)


def test_both_of_a_pair_are_told_under_their_own_policy() -> None:
    found = decided([shares("a"), shares("b", Mode.OBSERVE), Standing("team/c"), waits("d")], nodes_of(8))
    assert found.decisions.keys() == {"team/a", "team/b", "team/d"}
    (one,), (other,) = found.decisions["team/a"], found.decisions["team/b"]
    assert (one.outcome, one.mode, other.mode) == (Outcome.SHARE, Mode.RECOMMEND, Mode.OBSERVE)
    assert one.hint == {"shareWith": "team/b", "method": "MIG"}
    assert other.hint == {"shareWith": "team/a", "method": "MIG"}


def test_one_alone_has_nobody_to_share_with() -> None:
    assert decided([shares("a"), Standing("team/c")], nodes_of(8)).decisions == {}


def test_growth_without_a_replica_to_add_is_not_drawn_for() -> None:
    assert decided([replace(Standing("team/a"), growth=GROW)], nodes_of(8)).decisions == {}

"""The ladder in the cycle: announced, told once, carried out where everything allows it, and counted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from mfu.act.types import Guard, Suspension, Tag
from mfu.api.mfupolicy import PolicySpec
from mfu.api.powers import ActionType
from mfu.decide.ladder import ReclaimMemory
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import Event, Plan
from mfu.engine.say.ladder import ladder_status, recalled_ladder
from mfu.engine.snapshot import FleetReadings, PolicyView, Snapshot, WorkloadView
from mfu.observe.readings import Metric, WorkloadSeries
from tests.builders.cases import node
from tests.builders.scenes import NOW, identity, pod, series, workload, written

MINUTE = 60.0
STEPS = [
    {"afterIdleMinutes": 5, "action": "Annotate", "graceMinutes": 0},
    {"afterIdleMinutes": 7, "action": "Suspend", "graceMinutes": 3},
]
SPEC = {
    "modes": {"reclaim": "Enforce"},
    "actions": [{"type": "Suspend"}],
    "floors": {"idleMinutes": 2},
    "reclaim": {"windowMinutes": 4, "maxExemptionHours": 1, "steps": STEPS},
    "prices": [{"product": "H100-SXM5", "perGPUHour": "2.50"}],
}
IDLE, BUSY = 0.0, 0.4
WORDS = "idle for 7 min: suspend it, so that others get its GPUs; nothing of it is deleted"


@dataclass
class Week:
    """A job of eight GPUs, minute by minute; the cluster does what the operator is sent to do."""

    snapshot: Snapshot
    now: float = NOW
    events: list[Event] = field(default_factory=list)
    sent: list[Suspension] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)

    @classmethod
    def of(cls, view: WorkloadView | None = None, *, on: bool = True, **spec: Any) -> Week:
        policy = PolicyView("p", "uid-p", 1, PolicySpec.model_validate({**SPEC, **spec}))
        switched_on = frozenset({ActionType.SUSPEND}) if on else frozenset[ActionType]()
        made = Snapshot((view or workload(),), (pod(),), (node("n0", used=8),), (policy,), {"team-a": {}})
        return cls(replace(made, switched_on=switched_on))

    def pass_(self, minutes: int, mfu: float | None, *, every: int = 1) -> Week:
        """`mfu` of None: nothing is read. Judged every so many minutes, as in a fleet that is judged in turns."""
        for _ in range(minutes // every):
            self.now += MINUTE * every
            read = {} if mfu is None else {"team-a/w": self.read(mfu)}
            seen = FleetReadings((identity(0),), observed_at=np.array([self.now - 5.0]))
            seen = replace(seen, values=np.full((1, self.snapshot.fleet.values.shape[1]), np.nan))
            fleet = seen if mfu is not None else FleetReadings()
            self.plan = evaluate(replace(self.snapshot, series=read, fleet=fleet), self.now)
            self.snapshot = written(self.snapshot, self.plan)
            self.events += self.plan.workloads[0].events
            self.sent += self.plan.suspensions
        return self

    def read(self, mfu: float) -> WorkloadSeries:
        made = series(self.snapshot.workloads[0], mfu, now=self.now)
        return made if mfu != IDLE else replace(made, progress=(), values=_still(made.values))

    def pods(self, *pods: Any) -> Week:
        self.snapshot = replace(self.snapshot, pods=pods, nodes=(node("n0", used=8 * len(pods)),))
        return self

    def restarted(self) -> Week:
        self.snapshot = replace(self.snapshot, before=Snapshot().before)
        return self

    @property
    def said(self) -> tuple[str, str]:
        status = self.snapshot.workloads[0].status.read()
        return next((each.outcome, each.message) for each in status.decisions if each.type == "Reclaim")

    @property
    def told(self) -> list[str]:
        return [each.reason for each in self.events if each.reason in ("GPUsIdle", "ActionSent", "Suspended")]

    @property
    def reclaimed(self) -> Any:
        return self.snapshot.workloads[0].status.read().reclaim


def test_what_idles_is_announced_and_then_suspended_in_the_same_words() -> None:
    week = Week.of().pass_(5, BUSY)
    assert week.said == ("Keep", "its GPUs are in use, or not idle for long enough")
    week.pass_(5, IDLE)
    assert week.said[0] == "Notice"
    assert week.said[1].startswith("idle for 5 min: say on the object that its GPUs are idle")
    week.pass_(3, IDLE)
    assert week.told == ["GPUsIdle"]
    assert week.said[1].startswith(f"{WORDS}, at ")
    assert week.sent == []
    announced = week.now
    week.pass_(4, IDLE)
    sent = week.sent[0]
    assert (sent.kind, sent.name, sent.workload) == ("Job", "w", "team-a/w")
    assert sent.words.startswith(WORDS)
    assert sent.not_younger_than == pytest.approx(announced, abs=MINUTE)
    assert week.told == ["GPUsIdle", "ActionSent"]


def test_a_suspended_one_asks_for_nothing_and_its_hours_are_counted_when_it_is_taken_up() -> None:
    week = Week.of().pass_(5, BUSY).pass_(12, IDLE)
    assert week.plan.suspensions, "said until the cluster shows it"
    week.pods().pass_(1, IDLE)
    assert week.told[-1] == "Suspended"
    assert week.said[0] == "Keep"
    assert week.plan.workloads[0].standing is not None
    assert week.plan.workloads[0].standing.ask is None, "others get them"
    assert week.plan.suspensions == ()
    week.pass_(2, IDLE).restarted().pass_(3, IDLE).pods(pod()).pass_(1, BUSY)
    assert week.reclaimed.suspended_at is None
    assert float(week.reclaimed.hours_given_back) == pytest.approx(0.1, abs=0.01)
    assert (week.reclaimed.taken, week.reclaimed.announced) == (0, 0), "everything begins anew"


def test_one_that_ended_by_itself_was_not_suspended() -> None:
    week = Week.of().pass_(5, BUSY).pass_(9, IDLE)
    assert week.said[0] == "Notice"
    week.pods().pass_(2, IDLE)
    assert week.reclaimed is None
    assert "Suspended" not in week.told


@pytest.mark.parametrize("window", [4, 20])
def test_who_is_judged_every_third_minute_is_given_back_as_well_and_after_notice(window: int) -> None:
    week = Week.of(reclaim={**SPEC["reclaim"], "windowMinutes": window})  # type: ignore[dict-item]
    week.pass_(24, BUSY, every=3).pass_(24 + window, IDLE, every=3)
    assert week.told[:2] == ["GPUsIdle", "ActionSent"]
    memory = week.plan.workloads[0].memory.reclaim
    assert len(memory.minutes) == window, "every minute counts, also those in between"
    assert week.sent[0].not_younger_than <= week.now - 3 * MINUTE


def test_work_between_two_turns_is_seen() -> None:
    week = Week.of().pass_(6, BUSY)
    still = week.read

    def once(mfu: float) -> WorkloadSeries:
        made = still(mfu)
        values = made.values.copy()
        values[-12:-6, :, Metric.SM_ACTIVE] = 0.9
        return replace(made, values=values)

    week.read = once  # type: ignore[method-assign]
    week.pass_(3, IDLE, every=3)
    assert [idle for _, idle in week.plan.workloads[0].memory.reclaim.minutes][-3:] == [True, False, True]


def test_work_within_the_grace_stops_it() -> None:
    week = Week.of().pass_(5, BUSY).pass_(9, IDLE).pass_(5, BUSY)
    assert week.said[0] == "Keep"
    assert week.plan.suspensions == ()
    assert week.reclaimed is None


def test_an_objection_stops_it_and_the_policy_bounds_the_objection() -> None:
    view = workload(changed_at=NOW)
    assert view.spec is not None
    objection = view.spec.model_validate(
        {**view.spec.model_dump(by_alias=True, exclude_none=True), "reclaim": {"exemptUntil": "2030-01-01T00:00:00Z"}}
    )
    week = Week.of(replace(view, spec=objection)).pass_(5, BUSY).pass_(20, IDLE)
    assert week.said[0] == "Keep"
    assert "its owner objects" in week.said[1]
    assert week.told == []
    week.now += 2400.0
    week.pass_(12, IDLE)
    assert "ActionSent" in week.told, "one hour is the most that the policy allows"


@pytest.mark.parametrize("loss", ["readings", "devices"])
def test_what_is_not_read_is_not_idle(loss: str) -> None:
    week = Week.of().pass_(5, BUSY)
    if loss == "readings":
        week.pass_(15, None)
    else:
        whole = week.read

        def half(mfu: float) -> WorkloadSeries:
            made = whole(mfu)
            values = made.values.copy()
            values[:, 4:] = np.nan
            return replace(made, values=values)

        week.read = half  # type: ignore[method-assign]
        week.pass_(15, IDLE)
    assert week.told == []
    assert week.plan.suspensions == ()


def test_telemetry_that_goes_within_the_grace_takes_nothing() -> None:
    week = Week.of().pass_(5, BUSY).pass_(9, IDLE)
    week.pass_(10, None)
    assert week.plan.suspensions == ()
    assert "ActionSent" not in week.told


@pytest.mark.parametrize(
    "held",
    [
        ({"on": False}, Guard.SWITCHED_OFF),
        ({"modes": {"reclaim": "Recommend"}}, Guard.NOT_ENFORCED),
        ({"actions": []}, Guard.NOT_LISTED),
    ],
)
def test_the_dry_run_says_the_same_words(held: tuple[dict[str, Any], Guard]) -> None:
    week = Week.of(**held[0]).pass_(5, BUSY).pass_(12, IDLE)
    (step,) = week.plan.acts.steps
    assert step.hindrance is not None
    assert step.hindrance.guard is held[1]
    assert step.action.words.startswith(WORDS)
    assert week.plan.suspensions == ()
    assert week.said[0] == "Suspend"


def test_it_is_said_again_until_it_is_seen_and_given_up_after_three_times() -> None:
    week = Week.of(actions=[{"type": "Suspend", "dwellSeconds": 0}]).pass_(5, BUSY).pass_(45, IDLE)
    assert week.told.count("ActionSent") == 3
    assert week.plan.suspensions == ()


def test_a_restart_repeats_nothing_and_makes_it_later_never_earlier() -> None:
    week = Week.of().pass_(5, BUSY).pass_(9, IDLE)
    told = list(week.told)
    week.restarted().pass_(6, IDLE)
    assert week.told == told
    week.pass_(4, IDLE)
    assert week.told.count("GPUsIdle") == 1
    assert week.told[-1] == "ActionSent"


def test_a_start_and_a_spare_are_no_idleness() -> None:
    week = Week.of().pods(pod(created_at=NOW)).pass_(1, IDLE)
    assert all(idle is not True for _, idle in week.plan.workloads[0].memory.reclaim.minutes)


def test_without_a_ladder_nothing_is_remembered_or_said() -> None:
    week = Week.of(reclaim={}).pass_(3, IDLE)
    assert week.plan.workloads[0].memory.reclaim == ReclaimMemory()
    assert all(each.type != "Reclaim" for each in week.snapshot.workloads[0].status.read().decisions)


def test_status_keeps_how_far_it_went() -> None:
    memory = ReclaimMemory(rung=0, announced=1, announced_at=NOW, suspended_at=NOW + 60, seconds_given_back=5400.0)
    assert recalled_ladder(ladder_status(memory)) == memory
    assert recalled_ladder(ladder_status(ReclaimMemory())) == ReclaimMemory()
    broken = ladder_status(memory)
    assert broken is not None
    assert recalled_ladder(broken.model_copy(update={"announced_at": "yesterday"})) == ReclaimMemory()


def test_one_suspension_a_workload() -> None:
    week = Week.of().pass_(5, BUSY).pass_(12, IDLE)
    assert list(week.plan.handover.acted.tracks) == [Tag("team-a/w", ActionType.SUSPEND)]


def _still(values: Any) -> Any:
    """Clocks and memory as they were, no pipe at work."""
    quiet = values.copy()
    quiet[:, :, [Metric.TENSOR_ACTIVE, Metric.SM_ACTIVE, Metric.DRAM_ACTIVE, Metric.GR_ENGINE_ACTIVE]] = 0.0
    return quiet

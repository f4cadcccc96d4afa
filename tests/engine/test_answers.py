"""What one workload is answered: a table of declarations and pods → conditions, and what is or is not predicted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mfu.api.conditions import ConditionStatus, ConditionType, Reason
from mfu.api.names import WORKLOAD_LABEL
from mfu.engine.evaluate import evaluate
from mfu.engine.plan import WorkloadPlan
from mfu.engine.say.conditions import Aspect, ready, telemetry_available
from mfu.engine.snapshot import Snapshot, WorkloadView
from mfu.observe.assessment import Assessment, TelemetryState
from mfu.observe.readings import WorkloadSeries
from tests.builders.cases import SERVING, TRAINING, node
from tests.builders.scenes import NOW, message, pod, series, stopped, training, workload

H100 = "NVIDIA-H100-80GB-HBM3"
TOLD = dict[str, tuple[str, str]]


def on(*products: str | None, gpus: int = 8) -> Snapshot:
    """A node of each product, None an unknown one, and a pod of the workload on each."""
    nodes = [node(f"n{number}", product=name or H100) for number, name in enumerate(products)]
    known = [
        each if name else replace(each, device=None, product_label="NVIDIA-X900")
        for each, name in zip(nodes, products, strict=True)
    ]
    pods = tuple(pod(f"w-{number}", node=f"n{number}", gpus=gpus) for number in range(len(products)))
    return Snapshot((), pods, tuple(known))


def answer(view: WorkloadView, around: Snapshot, readings: WorkloadSeries | None = None) -> WorkloadPlan:
    seen = {} if readings is None else {view.key: readings}
    (plan,) = evaluate(replace(around, workloads=(view,), series=seen), NOW).workloads
    return plan


def told(plan: WorkloadPlan) -> TOLD:
    return {each["type"]: (each["status"], each["reason"]) for each in plan.status.document()["conditions"]}


@dataclass(frozen=True)
class Row:
    """`want` of the conditions it names; `words` stand in the message of the first; `predicted` products in order."""

    view: WorkloadView
    around: Snapshot
    want: TOLD
    words: tuple[str, ...] = ()
    predicted: tuple[str, ...] = ()
    readings: Callable[[WorkloadView], WorkloadSeries] | None = None


def declared(**accelerators: Any) -> WorkloadView:
    return workload(document={**TRAINING, "accelerators": {"count": 8, **accelerators}})


def refused(reason: str) -> TOLD:
    """Rejected: nothing else is claimed to be known."""
    return {
        "Accepted": ("False", reason),
        "FitsMemory": ("Unknown", "NotPredicted"),
        "IntentConsistent": ("Unknown", "OneMeter"),
        "Ready": ("False", "NotReady"),
    }


NOBODY = Snapshot(nodes=(node("n0"),))
ROWS = {
    "waiting": Row(
        workload(),
        NOBODY,
        {
            "Accepted": ("True", "Accepted"),
            "FitsMemory": ("True", "Fits"),
            "TelemetryAvailable": ("Unknown", "TargetMissing"),
            "IntentConsistent": ("Unknown", "OneMeter"),
            "Ready": ("Unknown", "NotReady"),
        },
        predicted=("H100-SXM5",),
    ),
    "running, nothing read": Row(
        workload(),
        on(H100),
        {
            "TelemetryAvailable": ("False", "NoReadings"),
            "Accepted": ("True", "Accepted"),
            "Ready": ("False", "NotReady"),
        },
        predicted=("H100-SXM5",),
    ),
    "running as declared": Row(
        workload(),
        on(H100),
        {kind: ("True", reason) for kind, reason in (("IntentConsistent", "MetersAgree"), ("Ready", "Ready"))},
        predicted=("H100-SXM5",),
        readings=lambda view: series(view, 0.45),
    ),
    "running something else than declared": Row(
        workload(),
        on(H100),
        {
            "IntentConsistent": ("False", "MetersDisagree"),
            "Accepted": ("True", "Accepted"),
            "Ready": ("False", "NotReady"),
        },
        ("progress is", "check"),
        predicted=("H100-SXM5",),
        readings=lambda view: series(view, 0.45, counted=0.2),
    ),
    "readings stopped": Row(
        workload(),
        on(H100),
        {"TelemetryAvailable": ("False", "ReadingsStale")},
        predicted=("H100-SXM5",),
        readings=lambda view: stopped(view, 0.45),
    ),
    "two products, the slowest first": Row(
        declared(products=["H100-SXM5", "A100-SXM4-80GB"]),
        on(H100, "NVIDIA-A100-SXM4-80GB", gpus=4),
        {"Accepted": ("True", "Accepted")},
        predicted=("A100-SXM4-80GB", "H100-SXM5"),
    ),
    "an unknown product": Row(declared(), on(None), refused("UnknownProduct"), ("runs on NVIDIA-X900", "mfu gpus")),
    "one pod of two on an unknown product": Row(
        declared(), on(H100, None, gpus=4), refused("UnknownProduct"), ("runs on NVIDIA-X900",)
    ),
    "a slice that is not in the catalog": Row(
        workload(document={**SERVING, "accelerators": {"count": 1}}),
        Snapshot(pods=(pod(gpus={"nvidia.com/mig-9g.99gb": 1}),), nodes=(node("n0", mig={"9g.99gb": 1}),)),
        refused("UnknownProduct"),
        ("nvidia.com/mig-9g.99gb of NVIDIA-H100-80GB-HBM3",),
    ),
    "a slice": Row(
        workload(document=SERVING),
        Snapshot(pods=(pod(gpus={"nvidia.com/mig-1g.10gb": 1}),), nodes=(node("n0", mig={"1g.10gb": 7}),)),
        {"Accepted": ("True", "Accepted")},
        predicted=("H100-SXM5-MIG-1g.10gb", "H100-SXM5"),
    ),
    "a product that does not exist": Row(
        declared(products=["H100-SXM6"]), NOBODY, refused("UnknownProduct"), ("accelerators.products", "H100-SXM5")
    ),
    "a preset that does not exist": Row(
        workload(document={**TRAINING, "model": {"preset": "llama-9"}}), NOBODY, refused("UnknownPreset"), ("preset",)
    ),
    "a layout that does not multiply": Row(
        workload(document=training(parallelism={"tensor": 3, "data": 4})), NOBODY, refused("ImpossibleLayout")
    ),
    "a precision that the product does not have": Row(
        workload(
            document={
                **TRAINING,
                "precision": {"compute": "FP8"},
                "accelerators": {"count": 8, "products": ["A100-SXM4-80GB"]},
            }
        ),
        NOBODY,
        refused("UnsupportedPrecision"),
        ("precision",),
    ),
    "a spec that does not read": Row(
        replace(workload(), spec=None, invalid="spec.mode: Inferencing is no mode"),
        NOBODY,
        refused("InvalidSpec"),
        ("spec.mode: Inferencing",),
    ),
    "more than the memory": Row(
        workload(document={**TRAINING, "model": {"preset": "llama-3.1-70b"}}),
        NOBODY,
        {"Accepted": ("True", "Accepted"), "FitsMemory": ("False", "OutOfMemory"), "Ready": ("False", "NotReady")},
        predicted=("H100-SXM5",),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_answered(name: str) -> None:
    row = ROWS[name]
    plan = answer(row.view, row.around, row.readings(row.view) if row.readings else None)
    found = told(plan)
    assert {kind: found[kind] for kind in row.want} == row.want
    for words in row.words:
        assert words in message(plan, next(iter(row.want)))
    assert tuple(each["product"] for each in plan.status.document().get("expected", ())) == row.predicted
    fits = found["FitsMemory"][0] != "False"
    assert (plan.expected is None) is not bool(row.predicted and fits), "what does not fit promises nothing"
    assert plan.conditions == tuple((kind, status) for kind, (status, _) in found.items())


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.predicted])
def test_what_is_refused_has_no_numbers_and_no_decisions(name: str) -> None:
    row = ROWS[name]
    plan = answer(row.view, row.around)
    summary = plan.status.document()["summary"]
    assert {summary[each] for each in ("expected", "observed", "attainable", "gap", "scale", "cause")} == {"Unknown"}
    assert not {"expected", "attainable", "memory", "observed", "losses", "decisions"} & set(plan.status.document())
    assert (plan.annotations, plan.decisions, plan.lesson) == ({}, (), None)


def test_a_mig_profile_that_does_not_exist_is_named_as_such() -> None:
    accelerators = {"count": 1, "products": ["H100-SXM5"], "migProfile": "9g.99gb"}
    plan = answer(workload(document={**SERVING, "accelerators": accelerators}), NOBODY)
    assert told(plan)["Accepted"] == ("False", "UnknownMIGProfile")


def test_assigned_and_declared_are_told_apart() -> None:
    plan = answer(declared(products=["H200-SXM"]), on(H100))
    assert [(each["product"], each["basis"]) for each in plan.status.document()["expected"]] == [
        ("H100-SXM5", "Assigned"),
        ("H200-SXM", "Declared"),
    ]
    assert plan.status.document()["allocation"] == {"pods": 1, "nodes": 1, "gpus": 8, "product": "H100-SXM5"}


def test_of_two_that_claim_a_pod_the_younger_is_refused_and_told_why() -> None:
    selector = {"podSelector": {"matchLabels": {"app": "x"}}, "targetRef": None}
    old = workload("old", {**TRAINING, **selector}, created_at=1.0)
    young = workload("young", {**TRAINING, **selector}, created_at=2.0)
    claimed = pod("x-0", None, labels={"app": "x"})
    plans = {each.name: each for each in evaluate(Snapshot((young, old), (claimed,), (node("n0"),)), NOW).workloads}
    assert told(plans["old"])["Accepted"] == ("True", "Accepted")
    assert told(plans["young"])["Accepted"] == ("False", "PodsClaimed")
    assert "pod x-0, which already belongs to the older ModelWorkload old" in message(plans["young"], "Accepted")
    assert "expected" not in plans["young"].status.document()
    assert (plans["old"].gpus, "allocation" in plans["young"].status.document()) == (8, False)
    assert [(each.type, each.reason) for each in plans["young"].events] == [("Warning", "PodsClaimed")]


def test_our_label_settles_a_conflict() -> None:
    old, young = workload("old", created_at=1.0), workload("young", created_at=2.0)
    mine = pod("x-0", "young", owners=(("Job", "old"),))
    assert mine.labels == {WORKLOAD_LABEL: "young"}
    plans = {each.name: each for each in evaluate(Snapshot((young, old), (mine,), (node("n0"),)), NOW).workloads}
    assert told(plans["young"])["Accepted"] == told(plans["old"])["Accepted"] == ("True", "Accepted")
    assert (plans["young"].status.document()["allocation"]["gpus"], "allocation" in plans["old"].status.document()) == (
        8,
        False,
    )


WAITS = {
    "no pod at all": ((), "no pod that asks for GPUs matches targetRef Job w"),
    "a pod without a node": ((pod(node=None, phase="Pending"),), "1 of its pods wait for a node"),
    "a labelled pod without GPUs": ((pod(gpus={}),), "its pods run and ask for no GPU"),
    "a pod with resource claims": ((pod(gpus={}, claims=("gpu",)),), "resource claims (DRA)"),
}


@pytest.mark.parametrize("name", WAITS)
def test_why_nothing_runs_on_a_gpu(name: str) -> None:
    pods, words = WAITS[name]
    plan = answer(workload(), Snapshot((), pods, (node("n0"),)))
    assert words in message(plan, "TelemetryAvailable")


@pytest.mark.parametrize("state", TelemetryState)
def test_every_state_of_telemetry_has_its_reason(state: TelemetryState) -> None:
    found = telemetry_available(Assessment(state=state), running=True)
    assert (found.status == "True") is (state is TelemetryState.OK)
    assert found.message


def test_of_amd_it_says_that_it_is_predicted_only() -> None:
    plan = answer(declared(), on("AMD Instinct MI300X"))
    assert told(plan)["TelemetryAvailable"] == ("False", "ProfilingUnavailable")
    assert message(plan, "TelemetryAvailable") == "predicted only, no counters: none of AMD GPUs are read"
    assert plan.status.document()["expected"][0]["product"] == "MI300X"


TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
MEMORY, INTENT = ConditionType.FITS_MEMORY, ConditionType.INTENT_CONSISTENT
READY: dict[str, tuple[dict[ConditionType, ConditionStatus], ConditionStatus, str]] = {
    "all hold": ({}, TRUE, "predicted, measured and consistent"),
    "one meter is enough": ({INTENT: UNKNOWN}, TRUE, "predicted, measured and consistent"),
    "something is not known": ({MEMORY: UNKNOWN}, UNKNOWN, "FitsMemory: as it is"),
    "what fails outweighs what is not known": ({MEMORY: UNKNOWN, INTENT: FALSE}, FALSE, "IntentConsistent: as it is"),
}


@pytest.mark.parametrize("name", READY)
def test_ready_is_the_worst_of_the_others(name: str) -> None:
    changed, want, words = READY[name]
    kinds = [each for each in ConditionType if each is not ConditionType.READY]
    found = ready([Aspect(each, changed.get(each, TRUE), Reason.READY, "as it is") for each in kinds])
    assert (found.type, found.status, found.message) == (ConditionType.READY, want, words)

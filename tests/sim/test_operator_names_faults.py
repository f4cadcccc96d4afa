"""From planted truth through exporter text and progress pages to the operator's word: numbers and causes.

Neither side knows the other: shapes are recorded, FLOPs are counted by jax, the meters are the operator's own.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from mfu.api.causes import Cause
from mfu.api.files import parse
from mfu.api.modelworkload import ModelWorkload
from mfu.hardware.catalog import load as load_catalog
from mfu.hardware.problem import Problem
from mfu.hardware.types import GPU, Device
from mfu.observe.assess import assess
from mfu.observe.assessment import Window
from mfu.predict import attainable, predict
from mfu.predict.declared import from_spec
from mfu.predict.types import Placement
from mfu.sim.fields import NamingRegime
from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import Workload
from mfu.sim.recordings import load as load_recordings
from mfu.sim.server import SimServer
from mfu.sim.telemetry_faults import TRANSPORT, ActiveFault, TelemetryFault
from mfu.sim.truth import Fault, Truth, TruthMode
from mfu.telemetry.dcgm.adapter import DCGMFleet
from mfu.telemetry.errors import NotExposition
from mfu.telemetry.pods.engines import read_engine
from mfu.telemetry.pods.progress import DeclaredProgress, ScrapedPod, declared
from mfu.telemetry.store.recent import Store

EXAMPLES = Path(__file__).parents[2] / "examples"
SECONDS = 20
HEALTHY = 0.47
SCENARIO = {
    Fault.SLOW_LINK: "ddp-comm-pcie",
    Fault.STARVED_INPUT: "ddp-starved-nvlink",
    Fault.STRAGGLER: "ddp-straggler-nvlink",
}
STRENGTHS = (0.5, 0.75, 1.0)


def planted(fault: Fault, strength: float) -> Truth:
    """A fault that costs what it cost when it was recorded, on the job that examples/faulty-training.yaml declares."""
    if fault is Fault.THROTTLED_CLOCK:
        mfu = HEALTHY * (1 - 0.6 * strength)
    elif fault is Fault.WRONG_PRECISION:
        mfu = 0.045
    else:
        healthy, faulty = load_recordings()["ddp-healthy-nvlink"].mfu, load_recordings()[SCENARIO[fault]].mfu
        mfu = HEALTHY * (1 - strength + strength * faulty / healthy)
    return Truth(mfu, fault, strength, model="llama-3.1-8b", sequence_length=4096)


def observed(truth: Truth, example: str = "faulty-training", product: str = "H100-SXM5", **how):
    """The assessment after SECONDS of scrapes of one pod; `broken` are telemetry faults from the middle on."""
    spec = declared_spec(example)
    gpus = spec.accelerators.count
    fleet = SimFleet(parse_nodes(f"{product}=1"), [Workload("a", "t", truth, gpus=gpus)], seed=how.get("seed", 1))
    clock = [1000.0]
    endpoint = SimServer(
        fleet,
        regime=how.get("regime", NamingRegime.LEGACY),
        counters=how.get("counters", "full"),
        clock=lambda: clock[0],
    )
    adapter, store = DCGMFleet(1.0, 1.0), Store(interval_seconds=1.0)
    for second in range(SECONDS):
        clock[0] = now = 1000.0 + second
        if second == SECONDS // 2:
            endpoint.faults.extend(how.get("broken", ()))
        bodies = {node: endpoint.node_text(node).encode() for node in fleet.nodes}
        store.add_round(adapter.round(bodies, now, nodes={node: node for node in fleet.nodes}), now)
        with suppress(NotExposition):
            store.add_progress([reading(endpoint.pod_text("a/t-0").encode(), truth, now)])
    setup, gpu = from_spec(spec), load_catalog().by_api_name(product)
    assert isinstance(gpu, GPU) and not isinstance(setup, Problem)
    placement = Placement(Device(gpu), gpus)
    expected, best = predict(setup, placement), attainable(setup, placement, frozenset())
    assert not isinstance(expected, Problem) and not isinstance(best, Problem)
    return assess(
        setup,
        placement,
        expected=expected,
        attainable=best,
        series=store.series([("a", "t-0")], now),
        now=now,
    )


def declared_spec(example: str):
    resource = parse((EXAMPLES / f"{example}.yaml").read_text())
    found = resource[0] if isinstance(resource, list | tuple) else resource
    assert isinstance(found, ModelWorkload)
    return found.spec


def reading(body: bytes, truth: Truth, now: float):
    pod = ScrapedPod("a", "t-0")
    if truth.mode is TruthMode.TRAINING:
        return declared(body, pod, now, DeclaredProgress("train_tokens_total"))
    return read_engine(body, pod, now)


def mfus(assessment) -> dict[str, float]:
    inside = [each for each in assessment.observations if each.window is Window.TEN_MINUTES and each.mfu is not None]
    return {str(each.meter): each.mfu for each in inside}


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("fault", [*SCENARIO, Fault.THROTTLED_CLOCK, Fault.WRONG_PRECISION])
def test_a_planted_fault_is_named_and_both_meters_are_right(fault, strength) -> None:
    truth = planted(fault, strength)
    assessment = observed(truth)

    assert assessment.cause is truth.cause
    assert mfus(assessment)["Progress"] == pytest.approx(truth.mfu, abs=0.005)
    assert mfus(assessment)["Counters"] == pytest.approx(truth.mfu, abs=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("mfu", [0.43, 0.47, 0.52])
def test_a_healthy_job_is_accused_of_nothing(mfu, seed) -> None:
    assessment = observed(Truth(mfu, model="llama-3.1-8b", sequence_length=4096), seed=seed)

    assert assessment.cause is Cause.NONE
    assert mfus(assessment)["Counters"] == pytest.approx(mfu, abs=0.02)


@pytest.mark.parametrize("regime", NamingRegime)
def test_every_naming_regime_tells_the_same(regime) -> None:
    truth = planted(Fault.SLOW_LINK, 1.0)
    assessment = observed(truth, regime=regime)

    assert assessment.cause is Cause.COMMUNICATION
    assert mfus(assessment)["Counters"] == pytest.approx(truth.mfu, abs=0.02)


def test_the_default_counters_still_give_the_number() -> None:
    truth = Truth(0.47, model="llama-3.1-8b", sequence_length=4096)

    assert mfus(observed(truth, counters="default"))["Counters"] == pytest.approx(0.47, abs=0.02)


def test_a_healthy_decode_is_accused_of_nothing() -> None:
    truth = Truth(
        0.125,
        mode=TruthMode.DECODE,
        mbu=0.47,
        model="llama-3.1-70b",
        input_tokens=1000,
        output_tokens=600,
        concurrency=64,
    )
    assessment = observed(truth, example="serving-decode-heavy", product="H200-SXM")

    assert mfus(assessment)["Progress"] == pytest.approx(0.125, abs=0.005)
    assert not [each.cause for each in assessment.findings if each.wasted]


TEXT_FAULTS = sorted(set(TelemetryFault) - TRANSPORT)
# A counter that stands still is what a hung job shows too: a low number is then right.
OF_PROGRESS = sorted(set(TEXT_FAULTS) - {TelemetryFault.STALE})


@pytest.mark.parametrize(
    ("kind", "target"),
    [*((kind, "h100-sxm5-00") for kind in TEXT_FAULTS), *((kind, "a/t-0") for kind in OF_PROGRESS)],
)
def test_broken_telemetry_is_unknown_or_right_never_wrong(kind, target) -> None:
    truth = Truth(HEALTHY, model="llama-3.1-8b", sequence_length=4096)
    assessment = observed(truth, broken=[ActiveFault(kind, target, since=1010.0)])

    assert all(value == pytest.approx(HEALTHY, abs=0.03) for value in mfus(assessment).values())
    assert assessment.cause in (Cause.NONE, Cause.UNKNOWN)


@pytest.mark.parametrize("metric", ["TENSOR", "SM_CLOCK", "POWER", "DRAM"])
@pytest.mark.parametrize("kind", [TelemetryFault.NAN, TelemetryFault.BLANK])
def test_one_broken_family_is_unknown_or_right_never_wrong(kind, metric) -> None:
    truth = Truth(HEALTHY, model="llama-3.1-8b", sequence_length=4096)
    assessment = observed(truth, broken=[ActiveFault(kind, "h100-sxm5-00", metric)])

    assert all(value == pytest.approx(HEALTHY, abs=0.03) for value in mfus(assessment).values())
    assert assessment.cause in (Cause.NONE, Cause.UNKNOWN)

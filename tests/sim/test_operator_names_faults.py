"""From planted truth through exporter text and progress pages to the operator's word: numbers and causes.

Neither side knows the other: shapes are recorded, FLOPs are counted by jax, the meters are the operator's own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mfu.api.causes import Cause
from mfu.api.files import parse
from mfu.hardware.catalog import load as load_catalog
from mfu.hardware.types import Device
from mfu.observe.assess import assess
from mfu.observe.assessment import Window
from mfu.predict import attainable, predict
from mfu.predict.declared import from_spec
from mfu.predict.types import Placement
from mfu.sim import progress
from mfu.sim.exposition import Exporters
from mfu.sim.fields import Regime
from mfu.sim.fleet import Fleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import Workload
from mfu.sim.recordings import load as load_recordings
from mfu.sim.truth import Fault, Mode, Truth
from mfu.telemetry.dcgm import DCGMFleet
from mfu.telemetry.engines import read_engine
from mfu.telemetry.progress import Declared, Pod, declared
from mfu.telemetry.store import Store

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
    """The assessment after SECONDS of scrapes of one pod."""
    resource = parse((EXAMPLES / f"{example}.yaml").read_text())
    spec = (resource[0] if isinstance(resource, list | tuple) else resource).spec
    gpus = spec.accelerators.count
    fleet = Fleet(parse_nodes(f"{product}=1"), [Workload("a", "t", truth, gpus=gpus)], seed=how.get("seed", 1))
    exporters = Exporters(fleet, regime=how.get("regime", Regime.LEGACY), counters=how.get("counters", "full"))
    adapter, store = DCGMFleet(1.0, 1.0), Store(interval_seconds=1.0)
    for second in range(SECONDS):
        now = 1000.0 + second
        bodies = {node: exporters.text(node, now).encode() for node in fleet.nodes}
        store.add_round(adapter.round(bodies, now, nodes={node: node for node in fleet.nodes}), now)
        store.add_progress([reading(fleet, truth, now)])
    setup, placement = from_spec(spec), Placement(Device(load_catalog().by_api_name(product)), gpus)
    return assess(
        setup,
        placement,
        expected=predict(setup, placement),
        attainable=attainable(setup, placement, frozenset()),
        series=store.series([("a", "t-0")], now),
        now=now,
    )


def reading(fleet: Fleet, truth: Truth, now: float):
    body, pod = progress.text(fleet, "a/t-0", now).encode(), Pod("a", "t-0")
    if truth.mode is Mode.TRAINING:
        return declared(body, pod, now, Declared("train_tokens_total"))
    return read_engine(body, pod, now)


def mfus(assessment) -> dict[str, float]:
    inside = [each for each in assessment.observations if each.window is Window.TEN_MINUTES and each.mfu is not None]
    return {str(each.meter): each.mfu for each in inside}


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("fault", [*SCENARIO, Fault.THROTTLED_CLOCK, Fault.WRONG_PRECISION])
def test_a_planted_fault_is_named_and_both_meters_are_right(fault, strength):
    truth = planted(fault, strength)
    assessment = observed(truth)

    assert assessment.cause is truth.cause
    assert mfus(assessment)["Progress"] == pytest.approx(truth.mfu, abs=0.005)
    assert mfus(assessment)["Counters"] == pytest.approx(truth.mfu, abs=0.03)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("mfu", [0.43, 0.47, 0.52])
def test_a_healthy_job_is_accused_of_nothing(mfu, seed):
    assessment = observed(Truth(mfu, model="llama-3.1-8b", sequence_length=4096), seed=seed)

    assert assessment.cause is Cause.NONE
    assert mfus(assessment)["Counters"] == pytest.approx(mfu, abs=0.02)


@pytest.mark.parametrize("regime", Regime)
def test_every_naming_regime_tells_the_same(regime):
    truth = planted(Fault.SLOW_LINK, 1.0)
    assessment = observed(truth, regime=regime)

    assert assessment.cause is Cause.COMMUNICATION
    assert mfus(assessment)["Counters"] == pytest.approx(truth.mfu, abs=0.02)


def test_the_default_counters_still_give_the_number():
    truth = Truth(0.47, model="llama-3.1-8b", sequence_length=4096)

    assert mfus(observed(truth, counters="default"))["Counters"] == pytest.approx(0.47, abs=0.02)


def test_a_healthy_decode_is_accused_of_nothing():
    truth = Truth(
        0.125,
        mode=Mode.DECODE,
        mbu=0.47,
        model="llama-3.1-70b",
        input_tokens=1000,
        output_tokens=600,
        concurrency=64,
    )
    assessment = observed(truth, example="serving-decode-heavy", product="H200-SXM")

    assert mfus(assessment)["Progress"] == pytest.approx(0.125, abs=0.005)
    assert not [each.cause for each in assessment.findings if each.wasted]

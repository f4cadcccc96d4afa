"""The types read what people and servers write, and write what servers take."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from mfu.api.acceptance import problems, to_architecture
from mfu.api.decisions import DecisionMode, DecisionType
from mfu.api.files import InvalidResource, load, parse
from mfu.api.fleetreport import FleetReport, FleetStatus, ProductFigures
from mfu.api.gpunode import GPUNode, GPUNodeStatus, Health, NodeGPU
from mfu.api.metadata import LabelSelector, LabelSelectorRequirement, ObjectMeta, SelectorOperator
from mfu.api.mfupolicy import MFUPolicy, Modes, PerWorkload, PolicySpec, ScalingDelivery
from mfu.api.model import ArchitectureDimensions, MLADimensions, Model, MoEDimensions
from mfu.api.modelworkload import ModelWorkload
from mfu.api.names import MODEL_WORKLOAD, decision_annotation
from mfu.api.runtime import Precisions
from mfu.api.training import Sharding
from mfu.api.workload_status import Basis, Change, Expected, Summary, WorkloadStatus
from mfu.hardware.types import Precision
from mfu.workload.architecture import AttentionKind
from mfu.workload.errors import InvalidArchitecture, UnknownPreset

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))

TRAINING = """
apiVersion: mfu.gpuaas.io/v1alpha1
kind: ModelWorkload
metadata: {name: a, namespace: team, uid: u, managedFields: [{manager: kubectl}]}
spec:
  mode: Training
  targetRef: {apiVersion: batch/v1, kind: Job, name: a}
  model: {preset: llama-3.1-8b}
  precision: {compute: FP8}
  accelerators: {count: 8}
  training: {sequenceLength: 8192, globalBatchSize: 128, microBatchSize: 2, parallelism: {data: 8}, sharding: FSDP}
"""


def training() -> ModelWorkload:
    (workload,) = parse(TRAINING)
    assert isinstance(workload, ModelWorkload)
    return workload


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_accepted(path: Path) -> None:
    for resource in parse(path.read_text()):
        if isinstance(resource, ModelWorkload):
            assert problems(resource.spec) == ()


def test_examples_are_the_demo_fleet() -> None:
    specs = [load(yaml.safe_load(path.read_text())) for path in EXAMPLES if path.name != "policy.yaml"]
    assert len([spec for spec in specs if isinstance(spec, ModelWorkload)]) == 6


def test_defaults_and_derived() -> None:
    spec = training().spec
    assert spec.training is not None
    assert spec.training.sharding is Sharding.ZERO3
    assert spec.training.micro_batches == 128 // (8 * 2)
    assert spec.training.tokens_per_step == 128 * 8192
    assert spec.parallelism.gpus == 8
    assert spec.training.parallelism.virtual_pipeline == 1
    assert training().key == ("team", "a")


@pytest.mark.parametrize(
    ("mode", "given", "weights", "kv"),
    [
        ("Training", {"compute": "FP8"}, Precision.BF16, Precision.BF16),
        ("Training", {"compute": "FP32"}, Precision.FP32, Precision.FP32),
        ("Inference", {"compute": "FP8"}, Precision.FP8, Precision.FP8),
        ("Inference", {"compute": "BF16", "weights": "INT4"}, Precision.INT4, Precision.FP8),
        ("Inference", {"compute": "BF16", "kvCache": "FP8"}, Precision.BF16, Precision.FP8),
    ],
)
def test_stored_precisions(mode: str, given: dict[str, str], weights: Precision, kv: Precision) -> None:
    spec = training().spec.model_copy(update={"mode": mode, "precision": Precisions.model_validate(given)})
    assert (spec.weight_precision, spec.kv_precision) == (weights, kv)


def test_what_is_absent_is_the_engines_habit() -> None:
    assert training().spec.precision.to_api() == {"compute": "FP8"}
    assert training().spec.runtime is None
    assert training().spec.reclaim is None


def test_documented_defaults_of_a_policy() -> None:
    spec = PolicySpec.model_validate({"actions": [{"type": "Scale"}], "oversubscription": [{"priorityClass": "low"}]})
    (action,) = spec.actions
    assert action.to_api() == {
        "type": "Scale",
        "minConfidencePercent": 80,
        "maxReadingAgeSeconds": 120,
        "maxPerMinute": 10,
        "dwellSeconds": 300,
    }
    assert PolicySpec().actions == ()
    assert spec.gate.deadline_seconds == 60
    assert (spec.sharing.min_kept_percent, spec.sharing.max_latency_increase_percent) == (90, 10)
    assert (spec.reclaim.window_minutes, spec.reclaim.max_exemption_hours, spec.reclaim.steps) == (60, 72, ())
    assert spec.oversubscription[0].max_percent == 100
    assert spec.metrics.per_workload is PerWorkload.SUMMARY
    assert spec.scaling.delivery is ScalingDelivery.METRIC


def test_round_trip_leaves_unknown_out() -> None:
    status = WorkloadStatus(
        expected=(Expected(product="H100-SXM5", basis=Basis.DECLARED, mfu="0.4123"),),
        summary=Summary(expected="41.2%"),
    )
    written = status.to_api()
    assert written["expected"] == [{"product": "H100-SXM5", "basis": "Declared", "mfu": "0.4123"}]
    assert "intent" not in written
    assert WorkloadStatus.model_validate(written) == status


def test_reserved_word_has_its_api_name() -> None:
    change = Change(field="training.microBatchSize", from_="1", to="8")
    assert change.to_api() == {"field": "training.microBatchSize", "from": "1", "to": "8"}


def test_servers_may_know_more() -> None:
    document = yaml.safe_load(TRAINING)
    document["spec"]["fromTheFuture"] = 1
    assert ModelWorkload.model_validate(document) == training().model_copy()
    with pytest.raises(InvalidResource, match="fromTheFuture"):
        load(document)


@pytest.mark.parametrize("value", ["41.2%", "NaN", "0,4", ""])
def test_fractions_are_decimal_strings(value: str) -> None:
    with pytest.raises(ValidationError):
        Expected(product="a", basis=Basis.DECLARED, mfu=value)


def test_values_are_immutable() -> None:
    with pytest.raises(ValidationError):
        training().spec.mode = "Inference"  # type: ignore[misc, assignment]


def test_architecture_of_explicit_dimensions() -> None:
    dimensions = ArchitectureDimensions(
        layers=61,
        hidden=7168,
        heads=128,
        head_dim=192,
        ffn=18432,
        vocab=129280,
        attention=AttentionKind.MLA,
        mla=MLADimensions(query_rank=1536, kv_rank=512, rope_head_dim=64, nope_head_dim=128, value_head_dim=128),
        moe=MoEDimensions(experts=256, top_k=8, expert_ffn=2048, shared_experts=1, dense_layers=3),
    )
    arch = to_architecture(Model(architecture=dimensions, name="deep"))
    assert (arch.name, arch.kv_heads, arch.head_dim) == ("deep", 128, 192)
    assert arch.mla is not None
    assert arch.mla.kv_rank == 512
    assert arch.moe is not None
    assert (arch.moe.experts, arch.moe.dense_layers) == (256, 3)


def test_absent_head_width_is_hidden_over_heads() -> None:
    dimensions = ArchitectureDimensions(layers=2, hidden=512, heads=8, ffn=1024, vocab=100)
    arch = to_architecture(Model(architecture=dimensions))
    assert (arch.name, arch.kv_heads, arch.head_dim) == ("custom", 8, 64)


def test_every_dimension_reaches_the_architecture() -> None:
    from dataclasses import fields

    from mfu.workload.architecture import MLA, Architecture, MoE

    for ours, theirs in ((ArchitectureDimensions, Architecture), (MLADimensions, MLA), (MoEDimensions, MoE)):
        assert set(ours.model_fields) == {field.name for field in fields(theirs)} - {"name"}


def test_unknown_preset_names_the_field() -> None:
    with pytest.raises(UnknownPreset) as unknown:
        to_architecture(Model(preset="llama-3.1-9b"))
    assert unknown.value.why.field == "model.preset"


def test_impossible_dimensions_name_the_api_field() -> None:
    dimensions = ArchitectureDimensions(layers=2, hidden=512, heads=8, kv_heads=3, ffn=1024, vocab=100)
    with pytest.raises(InvalidArchitecture) as invalid:
        to_architecture(Model(architecture=dimensions))
    assert invalid.value.why.field == "model.architecture.kvHeads"


def test_selector() -> None:
    selector = LabelSelector(
        match_labels={"team": "a"},
        match_expressions=(
            LabelSelectorRequirement(key="tier", operator=SelectorOperator.IN, values=("gold", "silver")),
            LabelSelectorRequirement(key="legacy", operator=SelectorOperator.DOES_NOT_EXIST),
        ),
    )
    assert selector.matches({"team": "a", "tier": "gold"})
    assert not selector.matches({"team": "b", "tier": "gold"})
    assert not selector.matches({"team": "a", "tier": "bronze"})
    assert not selector.matches({"team": "a", "tier": "gold", "legacy": ""})
    assert LabelSelector().matches({})


def test_not_in_holds_for_an_absent_label() -> None:
    requirement = LabelSelectorRequirement(key="tier", operator=SelectorOperator.NOT_IN, values=("gold",))
    assert requirement.matches({})
    assert not requirement.matches({"tier": "gold"})


def test_modes_by_decision() -> None:
    modes = Modes(placement=DecisionMode.ENFORCE)
    assert modes.of(DecisionType.PLACEMENT) is DecisionMode.ENFORCE
    assert {modes.of(each) for each in DecisionType} == {DecisionMode.ENFORCE, DecisionMode.RECOMMEND}


def test_no_policy_means_observe_and_recommend_only() -> None:
    modes = MFUPolicy().spec.modes
    assert all(modes.of(each) is not DecisionMode.ENFORCE for each in DecisionType)


def test_paused() -> None:
    assert ObjectMeta(annotations={"mfu.gpuaas.io/paused": "true"}).paused
    assert not ObjectMeta(annotations={"mfu.gpuaas.io/paused": "false"}).paused


def test_paths_and_annotations() -> None:
    assert MODEL_WORKLOAD.path("a", "b", "status") == (
        "/apis/mfu.gpuaas.io/v1alpha1/namespaces/a/modelworkloads/b/status"
    )
    assert MODEL_WORKLOAD.path() == "/apis/mfu.gpuaas.io/v1alpha1/modelworkloads"
    assert decision_annotation("Placement") == "mfu.gpuaas.io/decision-placement"


def test_node_and_fleet_write_api_names() -> None:
    node = GPUNode(status=GPUNodeStatus(gpus=(NodeGPU(index=0, uuid="GPU-1", health=Health.HEALTHY),)))
    assert node.to_api()["status"]["gpus"][0]["health"] == "Healthy"
    report = FleetReport(
        status=FleetStatus(products=(ProductFigures(product="H100-SXM5", gpus="8", allocated_gpus="6.14"),))
    )
    assert report.to_api()["status"]["products"][0]["allocatedGPUs"] == "6.14"

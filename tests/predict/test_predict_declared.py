"""Specs as setups: the shipped examples, and what cannot be understood."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mfu.api.files import load
from mfu.api.modelworkload import ModelWorkload
from mfu.predict.declared import device_for, from_spec, placement_for, refused, tunable_of
from mfu.predict.types import Inference, Placement, Problem, Sharding, Training, Tunable

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.yaml"))
SPEC: dict[str, Any] = {
    "mode": "Training",
    "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "j"},
    "model": {"preset": "llama-3.1-8b"},
    "accelerators": {"count": 64, "products": ["H100-SXM5"]},
    "training": {
        "sequenceLength": 8192,
        "globalBatchSize": 256,
        "parallelism": {"tensor": 2, "data": 32},
        "sharding": "FSDP",
        "totalTokens": "15T",
    },
    "runtime": {"engine": "torchtitan"},
}


def workload(**changes: Any) -> ModelWorkload:
    document = {
        "apiVersion": "mfu.gpuaas.io/v1alpha1",
        "kind": "ModelWorkload",
        "metadata": {"name": "w"},
        "spec": {**SPEC, **changes},
    }
    found = load(document)
    assert isinstance(found, ModelWorkload)
    return found


def test_a_training_spec_as_a_setup() -> None:
    found = from_spec(workload().spec)
    assert isinstance(found, Training)
    assert found.parallelism.tensor == 2
    assert found.sharding is Sharding.ZERO3
    assert found.total_tokens == 15e12
    assert found.engine == "torchtitan"
    assert refused(workload().spec) is None


def test_the_release_of_the_engine_is_read() -> None:
    found = from_spec(workload(runtime={"engine": "Transformers", "version": "4.57"}).spec)
    assert isinstance(found, Training)
    assert (found.engine_version, found.looped_experts) == ("4.57", None)


def test_placement_takes_whole_nodes_or_the_rack() -> None:
    spec = workload().spec
    nodes, rack = placement_for(spec, "H100-SXM5"), placement_for(spec, "GB200")
    assert isinstance(nodes, Placement)
    assert isinstance(rack, Placement)
    assert (nodes.gpus, nodes.gpus_per_node) == (64, 8)
    assert rack.gpus_per_node == 64
    few = placement_for(spec, "H100-SXM5", gpus=4)
    assert isinstance(few, Placement)
    assert (few.gpus, few.gpus_per_node) == (4, 4)


def test_unknown_names_are_refused_with_the_nearest() -> None:
    spec = workload().spec
    product = placement_for(spec, "H100-SXN5")
    assert isinstance(product, Problem)
    assert "H100-SXM5" in product.fix
    preset = from_spec(workload(model={"preset": "llama-3.1-80b"}).spec)
    assert isinstance(preset, Problem)
    assert "llama-3.1" in str(preset)
    assert refused(workload(model={"preset": "llama-3.1-80b"}).spec) is not None


def test_mig_profiles_belong_to_their_product() -> None:
    spec = workload(accelerators={"count": 64, "products": ["H100-SXM5"], "migProfile": "1g.5gb"}).spec
    found = placement_for(spec, "H100-SXM5")
    assert isinstance(found, Problem)
    assert "1g.10gb" in found.fix
    assert not isinstance(device_for(workload().spec, _gpu()), Problem)


def _gpu() -> Any:
    from mfu.hardware.catalog import load as catalog

    return catalog().by_api_name("H100-SXM5")


def test_tunable_follows_the_spec() -> None:
    assert tunable_of(workload(tunable=["MicroBatch"]).spec) == {Tunable.MICRO_BATCH}
    assert tunable_of(workload(tunable=[]).spec) == frozenset()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_understood(path: Path) -> None:
    import yaml

    for document in yaml.safe_load_all(path.read_text(encoding="utf-8")):
        if document["kind"] != "ModelWorkload":
            continue
        found = load(document)
        assert isinstance(found, ModelWorkload)
        assert isinstance(from_spec(found.spec), Training | Inference)

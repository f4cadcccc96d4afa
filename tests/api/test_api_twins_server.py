"""CEL and Python give the same verdict on the same random declarations: the rules have no way to drift apart."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.testbed.cluster.client import KubectlFailed
from e2e.testbed.cluster.plane import ControlPlane
from mfu.api.acceptance import problems
from mfu.api.mfupolicy import MFUPolicy
from mfu.api.modelworkload import ModelWorkload
from mfu.api.names import API_VERSION
from mfu.api.policy_checks import policy_problems

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SEED, DOCUMENTS = 20261122, 240
DEGREES = (1, 1, 1, 2, 2, 3, 4, 8)


@pytest.fixture(scope="module")
def crds(api_server_only: ControlPlane) -> Iterator[ControlPlane]:
    api_server_only.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    api_server_only.wait_established()
    yield api_server_only
    api_server_only.kubectl("delete", "mfupolicy", "--all")


def layout(source: random.Random) -> dict[str, int]:
    names = ("tensor", "pipeline", "context", "data", "expert")
    return {name: source.choice(DEGREES) for name in names if source.random() < 0.7}


def gpus(degrees: dict[str, int]) -> int:
    count = 1
    for name in ("tensor", "pipeline", "context", "data"):
        count *= degrees.get(name, 1)
    return count


def dimensions(source: random.Random) -> dict[str, Any]:
    heads = source.choice((8, 12, 16, 24))
    found: dict[str, Any] = {
        "layers": source.choice((2, 6, 8, 32)),
        "hidden": heads * 64 + source.choice((0, 0, 0, 4)),
        "heads": heads,
        "ffn": source.choice((0, 1024, 1024, 1024)),
        "vocab": source.choice((0, 32000, 32000, 32000)),
    }
    if source.random() < 0.5:
        found["kvHeads"] = source.choice((1, 2, 4, 5, 8))
    if source.random() < 0.5:
        found["moe"] = {
            "experts": source.choice((4, 8, 6)),
            "topK": source.choice((1, 2, 7)),
            "expertFFN": 512,
            "denseLayers": source.choice((0, 0, 1, 6)),
            "every": source.choice((1, 1, 2)),
        }
    if source.random() < 0.15:
        found |= {"attention": "MLA"}
    if source.random() < 0.15:
        found |= {"mla": {"kvRank": 64, "ropeHeadDim": 32, "nopeHeadDim": 32, "valueHeadDim": 64}}
    if source.random() < 0.2:
        found |= {"window": 512, "windowEvery": source.choice((1, 2, 7))}
    return found


def training(source: random.Random) -> tuple[dict[str, Any], int]:
    degrees = layout(source)
    count = gpus(degrees)
    if source.random() < 0.3:
        degrees["virtualPipeline"] = source.choice((1, 2, 4))
    micro = source.choice((1, 1, 2, 3))
    batch = degrees.get("data", 1) * micro * source.choice((1, 4)) + source.choice((0, 0, 0, 1))
    block = {"sequenceLength": source.choice((2048, 2049)), "globalBatchSize": batch, "microBatchSize": micro}
    return {**block, "parallelism": degrees}, count


def inference(source: random.Random) -> tuple[dict[str, Any], int]:
    degrees = layout(source)
    block: dict[str, Any] = {
        "inputTokens": {"mean": 100, "p95": source.choice((50, 100, 400, 400))},
        "outputTokens": {"mean": 100},
        "concurrency": 4,
        "parallelism": degrees,
        "replicas": {"min": source.choice((0, 1, 1, 3)), "max": 2},
    }
    return block, gpus(degrees)


def declaration(source: random.Random, name: str) -> dict[str, Any]:
    mode = source.choice(("Training", "Inference"))
    block, count = training(source) if mode == "Training" else inference(source)
    spec: dict[str, Any] = {
        "mode": mode,
        mode.lower(): block,
        "accelerators": {"count": count if source.random() < 0.9 else count + 1},
        "model": {"architecture": dimensions(source)},
    }
    if chosen := formats(source):
        spec["precision"] = chosen
    if source.random() < 0.95:
        spec["targetRef"] = {"apiVersion": "batch/v1", "kind": "Job", "name": name}
    if source.random() < 0.1:
        spec["podSelector"] = source.choice(({}, {"matchLabels": {"app": name}}))
    if source.random() < 0.1:
        spec["accelerators"]["migProfile"] = "1g.10gb"
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelWorkload",
        "metadata": {"name": name},
        "spec": spec,
    }


FORMATS = ("FP32", "TF32", "BF16", "FP16", "FP8", "INT4")
ACTIONS = ("Annotate", "Event", "Suspend")


def formats(source: random.Random) -> dict[str, str]:
    names = ("weights", "masterWeights", "gradients", "optimizerState", "logits", "kvCache")
    return {name: source.choice(FORMATS) for name in names if source.random() < 0.15}


def policy(source: random.Random, name: str) -> dict[str, Any]:
    """Some steps in order and some not, some bounds crossed, some sharing unsafe."""
    steps = [
        {"afterIdleMinutes": source.choice((5, 10, 30, 60)), "action": source.choice(ACTIONS)}
        for _ in range(source.choice((0, 1, 2, 2, 3)))
    ]
    if source.random() < 0.6:
        steps.sort(key=lambda step: (step["afterIdleMinutes"], ACTIONS.index(step["action"])))
    spec: dict[str, Any] = {
        "reclaim": {"steps": steps},
        "scaling": {"minReplicas": source.choice((0, 1, 4)), "maxReplicas": source.choice((2, 8, 8))},
        "sharing": {"acrossNamespaces": source.random() < 0.3, "methods": source.choice((["MIG"], ["MIG", "MPS"]))},
        "actions": [{"type": source.choice(("Scale", "Suspend"))} for _ in range(source.choice((0, 1, 2)))],
    }
    return {"apiVersion": API_VERSION, "kind": "MFUPolicy", "metadata": {"name": name}, "spec": spec}


def refused_by_server(server: ControlPlane, documents: list[dict[str, Any]]) -> set[str]:
    with pytest.raises(KubectlFailed) as refused:
        server.kubectl("create", "--dry-run=server", "-f", "-", stdin="\n---\n".join(map(json.dumps, documents)))
    return set(re.findall(r'"(random-\d+)" is invalid', refused.value.stderr))


def test_both_refuse_the_same_policies(crds: ControlPlane) -> None:
    source = random.Random(SEED)
    documents = [policy(source, f"random-{number}") for number in range(DOCUMENTS)]
    ours = {
        document["metadata"]["name"]: policy_problems(MFUPolicy.model_validate(document).spec) for document in documents
    }
    theirs = refused_by_server(crds, documents)
    differing = {name: said for name, said in ours.items() if bool(said) != (name in theirs)}
    assert differing == {}
    assert 40 <= len(theirs) <= DOCUMENTS - 40


def test_both_refuse_the_same_workloads(crds: ControlPlane) -> None:
    source = random.Random(SEED)
    documents = [declaration(source, f"random-{number}") for number in range(DOCUMENTS)]
    ours = {
        document["metadata"]["name"]: [
            problem.message for problem in problems(ModelWorkload.model_validate(document).spec)
        ]
        for document in documents
    }
    theirs = refused_by_server(crds, documents)
    differing = {name: said for name, said in ours.items() if bool(said) != (name in theirs)}
    assert differing == {}
    accepted = [name for name, said in ours.items() if not said]
    assert len(accepted) >= 10
    assert len(theirs) >= 50

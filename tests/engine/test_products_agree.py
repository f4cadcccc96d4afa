"""A node's label against what its GPUs call themselves: on conflict nothing is known, and the workload says why."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mfu.engine import saved
from mfu.engine.evaluate import evaluate
from mfu.engine.products import agreed
from mfu.observe.readings import GPUIdentity, GPUKey
from tests.builders.cases import node

ROOT = Path(__file__).parents[2]
CASES = ROOT.parent / "shared" / "data" / "field_cases"
H100, A100 = "NVIDIA H100 80GB HBM3", "NVIDIA A100-SXM4-80GB"


def read(name: str, *, on: str = "n0") -> GPUIdentity:
    return GPUIdentity(GPUKey(f"GPU-{name}"), name, on)


@pytest.mark.parametrize(
    ("label", "names", "product", "doubted"),
    [
        ("NVIDIA-H100-80GB-HBM3", [H100], "H100-SXM5", False),
        ("NVIDIA-H100-80GB-HBM3", [], "H100-SXM5", False),
        ("NVIDIA-H100-80GB-HBM3", ["NVIDIA X900 Prototype", ""], "H100-SXM5", False),
        ("NVIDIA-H100-80GB-HBM3", [A100], None, True),
        ("NVIDIA-H100-80GB-HBM3", [H100, A100], None, True),
        (None, [H100], "H100-SXM5", False),
        (None, [H100, A100], None, False),
        (None, [], None, False),
    ],
)
def test_label_and_readings(label: str | None, names: list[str], product: str | None, doubted: bool) -> None:
    one = node("n0", product=label or "NVIDIA-H100-80GB-HBM3")
    one = one if label else replace(one, product_label=None, device=None)
    (found,) = agreed((one,), [read(name) for name in names])
    assert (found.device.gpu.api_name if found.device else None) == product
    assert (found.doubt is not None) is doubted


def test_nodes_that_agree_stay_the_same_tuple() -> None:
    nodes = (node("n0"), node("n1"))
    assert agreed(nodes, [read(H100), read(H100, on="n1"), read(A100, on="elsewhere")]) is nodes


def test_a_host_labelled_h100_whose_gpus_are_a100_is_not_judged_as_h100(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "snapshot.json"
    monkeypatch.setattr(sys, "argv", ["12", str(ROOT / "examples" / "snapshot.json"), str(out)])
    runpy.run_path(str(next(CASES.glob("12_*.py"))), run_name="__main__")
    snapshot, now = saved.load(json.dumps(json.loads(out.read_text())))
    plan = next(each for each in evaluate(snapshot, now).workloads if each.key == "team-llm/dense-training")
    conditions = {each["type"]: each for each in plan.status.document()["conditions"]}
    assert conditions["Ready"]["status"] != "True"
    assert conditions["Accepted"]["reason"] == "ProductsDisagree"
    assert "A100" in conditions["Accepted"]["message"]
    assert plan.assessment is None
    assert plan.cost_per_hour is None

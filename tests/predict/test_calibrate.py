"""Calibrating by hand: shrunk by how many runs and how alike they are, read by predict and plan, honest about doubt."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mfu.cli.main import main
from mfu.predict import predict
from mfu.predict.calibrate import OwnRun, calibrate, from_stack, narrower, to_stack
from mfu.predict.types import Doubt, Placement, Prediction, Training

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
Job = Callable[..., Training]
On = Callable[..., Placement]


def runs(job: Job, on: On, *speeds: float, doubt: Doubt | None = None) -> list[OwnRun]:
    """Runs of one stack that were that many times as fast as predicted."""
    found = predict(job(), on())
    assert isinstance(found, Prediction)
    told = replace(found, doubt=doubt or Doubt(0.15, 0.06))
    return [OwnRun(job(), on(), told, found.step_seconds / speed) for speed in speeds]


def test_the_four_runs_of_the_docstring(job: Job, on: On) -> None:
    found = calibrate(runs(job, on, 0.9, 0.9, 0.9, 0.9)).by_key["H100-SXM5/NeMo/Training"]
    assert found.factor == pytest.approx(0.904, abs=1e-3)
    assert found.relative_sd == pytest.approx(0.0294, abs=5e-4)
    assert found.observations == 4


def test_one_run_counts_less_than_four_and_runs_that_disagree_less_than_runs_that_agree(job: Job, on: On) -> None:
    def factor(*speeds: float) -> float:
        return calibrate(runs(job, on, *speeds)).by_key["H100-SXM5/NeMo/Training"].factor

    assert factor(0.8, 0.8, 0.8, 0.8) < factor(0.8) < 1.0
    apart = 0.8 * math.exp(0.4), 0.8 * math.exp(-0.4)
    assert factor(0.8, 0.8) < factor(*apart) < 1.0


def test_the_band_narrows_to_what_each_run_errs_by(job: Job, on: On) -> None:
    own = runs(job, on, 0.9, 0.9, 0.9)
    before, after = narrower(own[0].prediction, calibrate(own).by_key["H100-SXM5/NeMo/Training"])
    assert 0.06 < after < 0.5 * before


def test_what_is_written_is_read_again(job: Job, on: On) -> None:
    found = calibrate(runs(job, on, 0.9, 0.95))
    again = from_stack(yaml.safe_load(yaml.safe_dump(to_stack(found))))
    key = "H100-SXM5/NeMo/Training"
    assert again.by_key[key].factor == pytest.approx(found.by_key[key].factor, abs=1e-4)


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ([], "kind"),
        ({"kind": "CalibratedStacks"}, "stacks"),
        ({"kind": "CalibratedStacks", "stacks": [{}]}, "stacks[0].key"),
        ({"kind": "CalibratedStacks", "stacks": [{"key": "a", "factor": "1"}]}, "stacks[0].factor"),
        (
            {"kind": "CalibratedStacks", "stacks": [{"key": "a", "factor": 9, "relativeSD": 0.1, "observations": 1}]},
            "no stack's",
        ),
    ],
)
def test_a_broken_file_names_its_field(document: object, word: str) -> None:
    with pytest.raises(ValueError, match=word.replace("[", r"\[").replace("]", r"\]")):
        from_stack(document)


WORKLOAD = """
apiVersion: mfu.gpuaas.io/v1alpha1
kind: ModelWorkload
metadata: {name: own}
spec:
  mode: Training
  targetRef: {apiVersion: batch/v1, kind: Job, name: own}
  model: {preset: llama-3.2-1b}
  accelerators: {count: 1, products: [H100-SXM5]}
  runtime: {engine: transformers}
  training: {sequenceLength: 4096, globalBatchSize: 4, microBatchSize: 4, sharding: DDP}
"""


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main([*arguments, "-o", "json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_calibrate_then_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack, workload = tmp_path / "stack.yaml", tmp_path / "workload.yaml"
    workload.write_text(WORKLOAD, encoding="utf-8")
    assert main(["calibrate", str(DATA / "fresh/hf_trainer.jsonl"), "-o", str(stack)]) == 0
    assert "H100-SXM5/Transformers/Training" in capsys.readouterr().out
    before = told(capsys, "predict", "-f", str(workload))
    after = told(capsys, "predict", "-f", str(workload), "--stack", str(stack))
    assert before != after


@pytest.mark.parametrize(
    ("content", "word"),
    [("kind: Other", "kind"), ("{", "no YAML")],
)
def test_predict_refuses_a_broken_stack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, word: str
) -> None:
    stack, workload = tmp_path / "stack.yaml", tmp_path / "workload.yaml"
    workload.write_text(WORKLOAD, encoding="utf-8")
    stack.write_text(content, encoding="utf-8")
    assert main(["predict", "-f", str(workload), "--stack", str(stack)]) == 2
    assert word in capsys.readouterr().err


def test_a_log_needs_its_declaration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "train.log"
    log.write_text("step 1\n", encoding="utf-8")
    assert main(["calibrate", str(log), "-o", str(tmp_path / "stack.yaml")]) == 2
    assert "-f workload.yaml" in capsys.readouterr().err

"""The commands predict, plan and validate: tables, JSON, and exit code 2 with a message that names the field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfu.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
DENSE = str(ROOT / "examples" / "dense-training.yaml")
SERVING = str(ROOT / "examples" / "serving-decode-heavy.yaml")


def test_predict_prints_speed_fit_waterfall_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "-f", DENSE, "--product", "H100-SXM5,A100-SXM4-40GB", "--price", "H100-SXM5=2.99"]) == 0
    out = capsys.readouterr().out
    assert "H100-SXM5" in out
    assert "no: " in out
    assert "where the peak goes" in out
    assert "kernel ceiling" in out
    assert "per M tokens" in out


def test_predict_json_adds_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "-f", DENSE, "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    prediction = found["predictions"][0]
    assert prediction["product"] == "H100-SXM5"
    total = prediction["mfu"] + sum(loss["fraction"] for loss in prediction["waterfall"])
    assert total == pytest.approx(1.0, abs=1e-12)
    assert prediction["attainable"]["mfu"] >= prediction["mfu"]
    assert prediction["memory"]["totalBytes"] == pytest.approx(sum(prediction["memory"]["terms"].values()))


def test_predict_at_a_lowered_power_limit(capsys: pytest.CaptureFixture[str]) -> None:
    def mfu(*more: str) -> float:
        assert main(["predict", "-f", DENSE, "--product", "H100-SXM5", "-o", "json", *more]) == 0
        return float(json.loads(capsys.readouterr().out)["predictions"][0]["mfu"])

    assert mfu("--power-limit", "500") < 0.95 * mfu()
    assert main(["predict", "-f", DENSE, "--product", "H100-SXM5", "--power-limit", "500"]) == 0
    assert "500 of 700 W" in capsys.readouterr().out


def test_a_network_that_nobody_named_is_said_where_it_would_be_felt(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Fully sharded over eight nodes of A100: half of a step's gathers cross them."""
    over_nodes = tmp_path / "nodes.yaml"
    text = Path(DENSE).read_text(encoding="utf-8")
    over_nodes.write_text(text.replace("count: 8", "count: 64").replace("data: 8", "data: 64"), encoding="utf-8")

    def asked(*more: str) -> tuple[float, str]:
        assert main(["predict", "-f", str(over_nodes), "--product", "A100-SXM4-80GB", "-o", "json", *more]) == 0
        found = json.loads(capsys.readouterr().out)["predictions"][0]
        return float(found["mfu"]), " ".join(found["notes"])

    usual, said = asked()
    slow, silent = asked("--network", "50")
    assert "200 Gbit/s a GPU is assumed" in said
    assert f"50 would leave {100 * slow:.1f}% MFU" in said
    assert slow < 0.95 * usual
    assert "Gbit/s" not in silent, "it was named"
    assert asked("--network", "200") == (pytest.approx(usual), silent)
    assert asked("--network", "12.5")[0] < slow, "one adapter of 100 for eight GPUs"


@pytest.mark.parametrize("value", ["0", "-50", "nan", "inf", "fast"])
def test_a_network_is_a_number_above_0(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["predict", "-f", DENSE, f"--network={value}"])
    assert stopped.value.code == 2
    assert f"argument --network: '{value}' is no number above 0" in capsys.readouterr().err


def test_one_node_needs_no_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "-f", DENSE]) == 0
    assert "network" not in capsys.readouterr().out


def test_predict_serves_inference_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "-f", SERVING]) == 0
    out = capsys.readouterr().out
    assert "weight reads" in out
    assert "concurrency" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "-f", DENSE, "--product", "H100-SXN5"], ["H100-SXN5", "H100-SXM5"]),
        (["predict", "-f", "nowhere.yaml"], ["nowhere.yaml"]),
        (["predict", "-f", DENSE, "--price", "H100-SXM5"], ["--price", "H100-SXM5=2.99"]),
        (["plan", "-f", DENSE, "--gpus", "many"], ["--gpus", "64,128"]),
        (["plan", "-f", DENSE, "--precisions", "float12"], ["--precisions", "BF16"]),
        (["plan", "-f", DENSE, "--objective", "cost"], ["--price"]),
        (["plan", "-f", DENSE, "--gpus", "13"], ["13 × H100-SXM5", "no layout divides"]),
        (["validate", "steps", DENSE], ["has no column"]),
        (["validate", "runs", "nowhere.csv"], ["nowhere.csv"]),
    ],
)
def test_bad_input_is_told_in_one_line(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    message = capsys.readouterr().err.strip()
    assert message.count("\n") == 0
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("parallelism: {data: 8}", "parallelism: {data: 4}", ["parallelism", "8"]),
        ("parallelism: {data: 8}", "parallelism: {tensor: 3, data: 8}", ["parallelism"]),
        ("compute: BF16", "compute: FP4", ["precision"]),
        ("preset: llama-3.1-8b", "preset: llama-3.1-9b", ["llama-3.1-8b"]),
        ("globalBatchSize: 128", "globalBatchSize: 0", ["globalBatchSize"]),
        ("sequenceLength", "sequenceLenght", ["sequenceLength"]),
    ],
)
def test_impossible_files_name_the_field(
    old: str, new: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = Path(DENSE).read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "workload.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    assert main(["predict", "-f", str(path)]) == 2
    message = capsys.readouterr().err
    for word in words:
        assert word in message


def test_plan_explains_the_winner_against_today(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "-f", DENSE, "--products", "H100-SXM5,H200-SXM", "--gpus", "8,64"]
    assert main([*arguments, "--price", "H100-SXM5=2.99", "--price", "H200-SXM=3.5"]) == 0
    out = capsys.readouterr().out
    assert "today" in out
    assert "the first against today" in out
    assert "times the tokens per second" in out


def test_plan_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-f", DENSE, "--objective", "mfu", "-o", "json", "--top", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["objective"] == "mfu"
    assert found["settings"] > 100
    assert found["choices"][0]["mfu"] >= found["today"]["mfu"]
    assert found["choices"][0]["fits"]


def test_plan_serves_inference_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "-f", SERVING, "--gpus", "2,4", "--products", "H200-SXM", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {choice["gpus"] for choice in found["choices"]} == {2, 4}


def test_validate_prints_and_writes_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(
        "id,gpu,gpus,link,kind,layers,hidden,heads,ffn,vocab,batch_per_gpu,seq_len,context,precision,recompute,compiled,step_s,mfu\n"
        "a,NVIDIA H200,1,,train,24,2048,16,8192,50304,12,2048,,bf16,none,True,0.382918,0.5494\n"
        "b,NVIDIA H100 80GB HBM3,1,,dance,24,2048,16,8192,50304,12,2048,,bf16,none,True,0.4,0.5\n",
        encoding="utf-8",
    )
    assert main(["validate", "runs", str(path)]) == 0
    assert "2 rows, 1 predicted, 1 refused" in capsys.readouterr().out
    assert main(["validate", "runs", str(path), "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["predicted"]) == (2, 1)
    assert found["refused"][0]["id"] == "b"
    assert found["mape"] < 0.1


def test_attainable_stands_on_the_scale_of_expected(capsys: pytest.CaptureFixture[str]) -> None:
    """More concurrency may leave bandwidth unused: the column is never below expected, as in `kubectl get mw`."""
    assert main(["predict", "-f", str(ROOT / "examples" / "mig-small.yaml"), "-o", "json"]) == 0
    expected = json.loads(capsys.readouterr().out)["predictions"][0]["mbu"]
    assert main(["predict", "-f", str(ROOT / "examples" / "mig-small.yaml")]) == 0
    row = capsys.readouterr().out.splitlines()[2]
    assert float(row.split("% MBU")[0].split()[-1]) >= round(100 * expected, 1)


def test_the_waterfall_is_of_a_product_that_the_model_fits_on(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--product", "A10", "--product", "H200-SXM"]
    assert main(["predict", "-f", DENSE, *asked]) == 0
    out = capsys.readouterr().out
    assert "no: " in out
    assert "where the peak goes on H200-SXM" in out

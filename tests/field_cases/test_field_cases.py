"""Configs, names, nodes and pods of public bug reports (shared data, field_cases), as `mfu read` understands them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mfu.cli import main
from mfu.cli.read import understood

ROOT = Path(__file__).parents[2]
CASES = ROOT.parent / "shared" / "data" / "field_cases"


def read(name: str) -> list[dict[str, Any]]:
    return list(understood((CASES / name).read_text(encoding="utf-8"), name))


def only(name: str) -> dict[str, Any]:
    (found,) = read(name)
    return found


def gflops(document: dict[str, Any], length: int) -> float:
    return float(document["trainingFLOPsPerToken"][str(length)]) / 1e9


@pytest.mark.parametrize("name", ["01-gemma-3-4b-it.config.json", "01b-gemma-3-4b-it-one-key-added.config.json"])
def test_gemma_leans_on_its_class(name: str) -> None:
    found = only(name)
    assert found["parameters"] / 1e9 == pytest.approx(3.880, abs=0.0005)
    assert gflops(found, 4096) == pytest.approx(24.17, abs=0.005)
    assert found["kvHeads"] == 4
    assert found["dropped"] == ["vision_config"]


def test_an_embedding_model_is_an_encoder_without_a_head() -> None:
    found = only("02-embeddinggemma-300m.config.json")
    assert (found["family"], found["vocabularyHead"]) == ("Encoder", False)
    assert gflops(found, 2048) == pytest.approx(0.78, abs=0.005)


def test_no_layer_slides_before_max_window_layers() -> None:
    found = only("03-qwq-32b-swa.config.json")
    assert (found["window"], found["slidingLayers"]) == (0, 0)
    assert gflops(found, 131072) == pytest.approx(449.6, abs=0.05)


def test_quantized_weights_become_precision() -> None:
    assert only("04-gpt-oss-120b.config.json")["precision"] == {"compute": "BF16", "weights": "FP4"}


def test_kimi_k2_is_read() -> None:
    found = only("05-kimi-k2.config.json")
    assert found["parameters"] / 1e9 == pytest.approx(1026.4, abs=0.05)
    assert found["activeParameters"] / 1e9 == pytest.approx(32.9, abs=0.05)


def test_mig_of_an_a100_pcie() -> None:
    found = only("06-a100-pcie-mig.node.json")
    assert found["devices"] == {"nvidia.com/mig-1g.10gb": "A100-PCIe-80GB-MIG-1g.10gb"}
    assert found["migInstances"] == {"1g.10gb": 7}


def test_names_and_peaks() -> None:
    lines = [line.split("\t") for line in (CASES / "07-names.txt").read_text().splitlines() if line]
    for document, (name, product, tflops) in zip(read("07-names.txt"), lines, strict=True):
        assert (document["name"], document["product"]) == (name, product)
        assert document["peakFLOPsPerSecond"]["BF16"] / 1e12 == pytest.approx(float(tflops), rel=0.002)


def test_a_time_sliced_gpu_is_one_gpu() -> None:
    found = only("08-time-sliced.node.json")
    assert (found["gpus"], found["product"], found["replicasPerDevice"]) == (1, "T4", {"nvidia.com/gpu": 12})


def test_a_rayjobs_pod_is_found() -> None:
    found = only("11-rayjob.pod.json")
    assert {"kind": "RayJob", "name": "train-rj"} in found["owners"]
    assert found["gpus"] == {"nvidia.com/gpu": 8}


def test_pages_that_were_right_stay_right() -> None:
    (slice_,) = only("ok-dcgm-7g79gb.prom")["devices"]
    assert (slice_["product"], slice_["migProfile"], slice_["pod"]) == ("A100-PCIe-80GB", "7g.79gb", "p-0")
    assert all(device["shared"] for device in only("ok-dcgm-vgpu.prom")["devices"])
    assert only("ok-vllm-0.10.prom")["counters"] == {"PrefillTokens": 220.0, "DecodeTokens": 120.0}


def test_hits_counted_in_blocks_are_tokens_of_that_many() -> None:
    assert only("09-vllm-blocks.prom")["counters"] == {"PrefillTokens": 200_000.0, "DecodeTokens": 250_000.0}


def test_sglang_is_read_with_underscores_too() -> None:
    assert only("10-sglang-underscore.prom")["counters"] == {"PrefillTokens": 400_000.0, "DecodeTokens": 250_000.0}


def replayed(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `mfu replay` says of the example snapshot as the case changes it."""
    path = tmp_path / "snapshot.json"
    subprocess.run([sys.executable, CASES / name, ROOT / "examples" / "snapshot.json", path], check=True)
    assert main.main(["replay", str(path), "-o", "json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_time_slice_pays_its_share_and_is_not_accused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = replayed("08b_time_sliced_snapshot.py", tmp_path, capsys)
    assert found["fleet"]["summary"]["costPerHour"] == "$20.00"
    (workload,) = found["workloads"]
    assert workload["status"]["summary"]["lostPerHour"] == "Unknown"


def test_a_label_that_readings_contradict_is_not_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = replayed("12_mixed_host_snapshot.py", tmp_path, capsys)
    training = next(each for each in found["workloads"] if each["name"] == "dense-training")
    ready = next(each for each in training["status"]["conditions"] if each["type"] == "Ready")
    assert training["status"]["summary"]["observed"] == "Unknown"
    assert ready["status"] == "False"
    assert "A100-SXM4-80GB" in ready["message"]


def test_the_command_prints_what_was_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["read", str(CASES / "05-kimi-k2.config.json"), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["modelType"] == "kimi_k2"


def test_the_command_reads_a_gpu_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["read", "NVIDIA-GeForce-RTX-4090", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["product"] == "RTX-4090"


def test_what_is_refused_says_why_and_ends_with_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "rwkv", "hidden_size": 2048}')
    assert main.main(["read", str(path), "-o", "json"]) == 2
    refused = json.loads(capsys.readouterr().out)["refused"]
    assert refused["field"] == "model_type"
    assert refused["fix"]


@pytest.mark.parametrize("text", ["{", "", "kind: [", "[1"])
def test_nonsense_is_an_error_of_one_line(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    assert main.main(["read", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") <= 1


@pytest.mark.parametrize(
    ("said", "precision"), [("FP8", {"compute": "FP8"}), ("NVFP4", {"compute": "FP4", "kvCache": "FP8"})]
)
def test_the_weights_format_stands_in_the_file_beside_it(said: str, precision: dict[str, str], tmp_path: Path) -> None:
    """ModelOpt's checkpoints (nvidia/Llama-3.1-70B-Instruct-FP8): config.json itself says nothing of it."""
    config = json.loads((ROOT / "tests" / "workload" / "configs" / "llama-3.1-8b.json").read_text())
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    stored = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": said, "kv_cache_quant_algo": "FP8"}}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(stored))
    (found,) = understood(path.read_text(), str(path))
    assert found["precision"] == precision


@pytest.mark.parametrize("beside", ["{", "[]", '{"quantization": 1}'])
def test_a_broken_file_beside_it_says_nothing(beside: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text((ROOT / "tests" / "workload" / "configs" / "llama-3.1-8b.json").read_text())
    (tmp_path / "hf_quant_config.json").write_text(beside)
    (found,) = understood(path.read_text(), str(path))
    assert found["precision"].get("compute", "BF16") == "BF16"

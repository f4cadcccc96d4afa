"""`mfu adopt -f`: text for people, JSON for programs, and errors that name what to do."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mfu.api.files import parse
from mfu.cli.main import main

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: llm, namespace: team}
spec:
  replicas: 2
  template:
    spec:
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.11.0
          args: [--model, MODEL, --tensor-parallel-size, "4"]
          resources: {limits: {nvidia.com/gpu: 4}}
"""
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(["adopt", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[str], str]:
    def write(model: str) -> str:
        path = tmp_path / "manifest.yaml"
        path.write_text(DEPLOYMENT.replace("MODEL", model))
        return str(path)

    return write


def test_it_prints_a_declaration_below_its_lines(run: Run, manifest: Callable[[str], str]) -> None:
    code, out, err = run("-f", manifest("meta-llama/Llama-3.3-70B-Instruct"))
    assert (code, err) == (0, "")
    assert "# read: model = preset llama-3.3-70b" in out
    assert "# assumed: inference.inputTokens" in out
    assert parse(out)


def test_json_has_the_lines_and_the_declaration(run: Run, manifest: Callable[[str], str]) -> None:
    code, out, _ = run("-f", manifest("meta-llama/Llama-3.3-70B-Instruct"), "-o", "json")
    (found,) = json.loads(out)
    assert code == 0
    assert found["complete"]
    assert found["declaration"]["metadata"] == {"name": "llm", "namespace": "team"}
    assert {"certainty", "field", "value", "why"} == set(found["lines"][0])


def test_an_unknown_model_is_said_and_a_config_mends_it(
    run: Run, manifest: Callable[[str], str], tmp_path: Path
) -> None:
    path = manifest("acme/secret-9b")
    code, _, err = run("-f", path)
    assert code == 1
    assert "its model is not known" in err
    config = tmp_path / "config.json"
    sizes = {"hidden_size": 4096, "num_hidden_layers": 40, "num_attention_heads": 32, "intermediate_size": 12288}
    config.write_text(json.dumps({"model_type": "llama", "vocab_size": 65536, **sizes}))
    code, out, _ = run("-f", path, "--config", str(config))
    assert code == 0
    assert yaml.safe_load(out)["spec"]["model"]["architecture"]["layers"] == 40


def test_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(DEPLOYMENT.replace("MODEL", "Qwen/Qwen3-32B")))
    code, out, _ = run("-f", "-")
    assert code == 0
    assert yaml.safe_load(out)["spec"]["model"] == {"preset": "qwen3-32b"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no object"),
        ("kind: Service\n", "runs no model on GPUs"),
        ("a: [", "is no YAML"),
        (DEPLOYMENT.replace("gpu: 4", "gpu: $GPUS"), "nvidia.com/gpu: $GPUS, which is no number: fill the template in"),
    ],
)
def test_a_file_that_is_of_no_use_says_why(run: Run, tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    code, _, err = run("-f", str(path))
    assert code == 2
    assert words in err


def test_what_could_not_run_where_it_does_is_said(run: Run, tmp_path: Path) -> None:
    """Falcon-40B on two L4 by a program whose four-bit weights no manifest tells of."""
    path = tmp_path / "falcon.yaml"
    on_l4 = DEPLOYMENT.replace(
        "      containers:", "      nodeSelector: {cloud.google.com/gke-accelerator: nvidia-l4}\n      containers:"
    )
    path.write_text(
        on_l4.replace("MODEL", "tiiuae/falcon-40b-instruct").replace("gpu: 4", "gpu: 2").replace('"4"', '"2"')
    )
    code, out, _ = run("-f", str(path))
    assert code == 0
    note = next(line for line in out.splitlines() if line.startswith("# note: "))
    assert "could not run where it does (L4: " in note
    assert note.endswith("most of it weights); correct what was assumed: precision.compute")
    small = tmp_path / "small.yaml"
    small.write_text(on_l4.replace("MODEL", "Qwen/Qwen3-8B"))
    assert "# note: " not in run("-f", str(small))[1]
    assert json.loads(run("-f", str(path), "-o", "json")[1])[0]["notes"] == [note.removeprefix("# ")]


@pytest.mark.parametrize("arguments", [(), ("deployment/llm", "-f", "x"), ("gizmo/llm",), ("deployment",)])
def test_a_target_that_is_none_says_what_to_write(run: Run, arguments: tuple[str, ...]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert "deployment" in err

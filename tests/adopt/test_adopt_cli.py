"""`mfu adopt -f`: text for people, JSON for programs, and errors that name what to do."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from mfu.api.files import parse
from mfu.cli.adopt import runtime_read
from mfu.cli.main import main
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.resources import ResourcePath

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
        ("kind: ModelWorkload\n", "is declared already"),
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


class Cluster:
    """Of a client what the command asks for: a runtime that is there, or an answer that is none."""

    def __init__(self, *, status: int = 200) -> None:
        self.status, self.asked = status, list[str]()

    async def get(self, resource: ResourcePath, name: str, namespace: str | None) -> dict[str, Any]:
        self.asked.append(resource.path(namespace, name))
        if self.status != 200:
            raise ApiError(self.status, "Forbidden", "may not", f"get {name}")
        return {"metadata": {"name": name}, "spec": {"mlPolicy": {"numNodes": 2}}}


@pytest.mark.parametrize(
    ("reference", "path"),
    [
        ({"name": "tune"}, "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/tune"),
        (
            {"kind": "TrainingRuntime", "name": "a"},
            "/apis/trainer.kubeflow.org/v1alpha1/namespaces/team/trainingruntimes/a",
        ),
    ],
)
def test_the_runtime_of_a_trainjob_is_asked_for(reference: dict[str, str], path: str) -> None:
    cluster, job = Cluster(), {"kind": "TrainJob", "spec": {"runtimeRef": reference}}
    (found,) = asyncio.run(runtime_read(cast(KubeClient, cluster), job, "team"))
    assert cluster.asked == [path]
    assert (found["kind"], found["metadata"]["name"]) == (
        reference.get("kind", "ClusterTrainingRuntime"),
        reference["name"],
    )


def test_a_runtime_that_may_not_be_read_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    job = {"kind": "TrainJob", "spec": {"runtimeRef": {"name": "tune"}}}
    assert asyncio.run(runtime_read(cast(KubeClient, Cluster(status=403)), job, "team")) == []
    assert "note: ClusterTrainingRuntime tune was not read" in capsys.readouterr().err
    assert asyncio.run(runtime_read(cast(KubeClient, Cluster()), {"kind": "Job"}, "team")) == []

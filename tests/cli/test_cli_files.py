"""Files that can not be used: one line on standard error that names the file, exit code 2, no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mfu.cli.main import main

EXAMPLES = Path(__file__).parents[2] / "examples"
DENSE = (EXAMPLES / "dense-training.yaml").read_text()
Refused = Callable[..., str]

COMMANDS: dict[str, tuple[str, ...]] = {
    "predict": ("predict", "-f"),
    "plan": ("plan", "-f"),
    "replay": ("replay",),
    "init": ("init", "--from-config"),
    "validate": ("validate", "training"),
    "diagnose": ("diagnose",),
    "sim": ("sim", "--nodes", "H100-SXM5=1", "--no-cluster", "--plan"),
    "operator": ("operator", "--config"),
    "snapshot": ("snapshot", "-f", "unused.json", "--config"),
    "report": ("report", "--kubeconfig"),
    "explain": ("explain", "name", "--kubeconfig"),
}
UNUSABLE = ("missing", "directory", "binary")
MALFORMED = {"yaml": "a: [1", "json": '{"a": ', "list": "- 1\n- 2\n"}


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Refused:
    """Runs a command in an empty directory without a cluster; its one line of refusal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)

    def call(*arguments: str) -> str:
        assert main(arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"mfu {arguments[0]}: ")
        assert said.err.count("\n") == 1, said.err
        return said.err

    return call


def unusable(kind: str, folder: Path) -> str:
    path = folder / kind
    if kind == "directory":
        path.mkdir()
    if kind == "binary":
        path.write_bytes(b"\xfe\xff\x00\x80")
    return str(path)


@pytest.mark.parametrize("kind", UNUSABLE)
@pytest.mark.parametrize("command", COMMANDS)
def test_unusable_file_is_named(refused: Refused, tmp_path: Path, command: str, kind: str) -> None:
    path = unusable(kind, tmp_path)
    assert path in refused(*COMMANDS[command], path)


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("command", COMMANDS)
def test_malformed_text_is_named(refused: Refused, tmp_path: Path, command: str, kind: str) -> None:
    path = tmp_path / "malformed"
    path.write_text(MALFORMED[kind])
    assert path.name in refused(*COMMANDS[command], str(path))


DECLARATIONS = {
    "unknown preset": ("preset: llama-3.1-8b", "preset: llama-3.1-9b", ["spec.model.preset", "llama-3.1-8b"]),
    "unknown product": ("H100-SXM5", "H100-SXM6", ["spec.accelerators.products", "did you mean H100-SXM5"]),
    "unknown precision": ("BF16", "BF61", ["spec.precision.compute", "'BF61'", "'BF16'"]),
    "too few GPUs for the layout": ("data: 8", "tensor: 16", ["spec.accelerators.count", "16"]),
    "heads that do not divide": ("parallelism: {data: 8}", "parallelism: {tensor: 3}", ["parallelism", "tensor 3"]),
    "misspelt field": ("sharding:", "shardign:", ["spec.training.shardign", "did you mean sharding?"]),
    "another kind": ("kind: ModelWorkload", "kind: Job", ["kind: is Job", "ModelWorkload"]),
    "another API version": ("mfu.gpuaas.io/v1alpha1", "mfu.gpuaas.io/v9", ["apiVersion", "mfu.gpuaas.io/v1alpha1"]),
}


@pytest.mark.parametrize("case", DECLARATIONS)
def test_declaration_that_can_not_be_meant(refused: Refused, tmp_path: Path, case: str) -> None:
    old, new, words = DECLARATIONS[case]
    assert old in DENSE
    path = tmp_path / "workload.yaml"
    path.write_text(DENSE.replace(old, new, 1))
    said = refused("predict", "-f", str(path))
    assert [word for word in words if word not in said] == [], said
    assert "try did you mean" not in said


def test_model_larger_than_the_cluster(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "workload.yaml"
    path.write_text(DENSE.replace("llama-3.1-8b", "llama-3.1-405b"))
    said = refused("plan", "-f", str(path))
    assert "nothing fits: 8 × H100-SXM5 BF16" in said
    assert "per GPU" in said


@pytest.mark.parametrize("price", ["H100-SXM5", "H100-SXM5=nan", "H100-SXM5=inf", "H100-SXM5=-1", "=2"])
def test_price_that_is_none(refused: Refused, price: str) -> None:
    said = refused("predict", "-f", str(EXAMPLES / "dense-training.yaml"), "--price", price)
    assert "--price" in said or "product ''" in said


def test_empty_product(refused: Refused) -> None:
    said = refused("predict", "-f", str(EXAMPLES / "dense-training.yaml"), "--product", ",")
    assert "--product: is empty" in said


@pytest.mark.parametrize("arguments", [("predict", "--gpus-per-node", "0"), ("plan", "--top", "-1")])
def test_counts_are_positive(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    command, option, value = arguments
    with pytest.raises(SystemExit) as ended:
        main([command, "-f", str(EXAMPLES / "dense-training.yaml"), f"{option}={value}"])
    assert ended.value.code == 2
    assert f"argument {option}: '{value}' is no whole number above 0" in capsys.readouterr().err


DAMAGES: dict[str, Callable[[dict[str, object]], object]] = {
    "another version": lambda saved: saved.update(version=0),
    "no pods": lambda saved: saved.pop("pods"),
    "no fleet": lambda saved: saved.update(fleet=None),
    "text for a list": lambda saved: saved.update(workloads="x"),
    "a number for a node": lambda saved: saved.update(nodes=[5]),
    "an unknown metric": lambda saved: saved.update(metrics=["NO_SUCH"]),
    "no time": lambda saved: saved.update(now="yesterday"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_snapshot(refused: Refused, tmp_path: Path, damage: str) -> None:
    saved = json.loads((EXAMPLES / "snapshot.json").read_text())
    DAMAGES[damage](saved)
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(saved))
    said = refused("replay", str(path))
    assert str(path) in said
    assert "snapshot" in said or "damaged" in said


def test_snapshot_cut_short(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text((EXAMPLES / "snapshot.json").read_text()[:2000])
    assert "is no JSON" in refused("replay", str(path))


@pytest.mark.parametrize("command", [("report",), ("explain", "a"), ("snapshot", "-f", "x"), ("operator",), ("agent",)])
def test_without_a_cluster(refused: Refused, command: tuple[str, ...]) -> None:
    said = refused(*command)
    assert "--kubeconfig" in said
    assert "KUBECONFIG" in said


@pytest.mark.parametrize("command", [("report",), ("explain", "a"), ("snapshot", "-f", "x")])
def test_unreachable_server(refused: Refused, tmp_path: Path, command: tuple[str, ...]) -> None:
    said = refused(*command, "--kubeconfig", kubeconfig(tmp_path))
    assert "the API server does not answer" in said
    assert "127.0.0.1" in said
    assert "--context" in said


def test_unknown_context(refused: Refused, tmp_path: Path) -> None:
    assert "elsewhere" in refused("report", "--kubeconfig", kubeconfig(tmp_path), "--context", "elsewhere")


@pytest.mark.parametrize("target", ["nowhere/saved.json", "."])
def test_snapshot_target_is_checked_first(refused: Refused, target: str) -> None:
    assert f"--file {target}" in refused("snapshot", "-f", target)


def kubeconfig(folder: Path) -> str:
    """Port 1 is nobody's: the connection is refused at once."""
    named = {"name": "here"}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{**named, "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{**named, "context": {"cluster": "here", "user": "here"}}],
        "users": [{**named, "user": {}}],
        "current-context": "here",
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return str(path)

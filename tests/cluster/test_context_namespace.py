"""The namespace that a command works in, as kubectl finds it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import yaml

from mfu.cli.cluster import named
from mfu.cli.errors import UsageError
from mfu.cluster import connection
from mfu.cluster.connection import context_namespace


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    contexts = [
        {"name": "work", "context": {"cluster": "c", "user": "u", "namespace": "team-llm"}},
        {"name": "bare", "context": {"cluster": "c", "user": "u"}},
    ]
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump({"current-context": "work", "contexts": contexts}))
    return path


@pytest.mark.parametrize(
    ("context", "namespace"), [(None, "team-llm"), ("work", "team-llm"), ("bare", "default"), ("gone", "default")]
)
def test_the_contexts_own(kubeconfig: Path, context: str | None, namespace: str) -> None:
    assert context_namespace(kubeconfig, context) == namespace


@pytest.mark.parametrize("text", ["", "[]", "current-context: a", "\x00", "{contexts: 3, current-context: a}"])
def test_a_file_that_is_no_kubeconfig_names_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    assert context_namespace(tmp_path / "config") == "default"


def test_inside_a_pod_it_is_the_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(connection, "SERVICE_ACCOUNT", tmp_path)
    (tmp_path / "namespace").write_text("mfu-system\n")
    assert context_namespace() == "mfu-system"


def asked(name: str, namespace: str | None, kubeconfig: Path) -> tuple[str, str]:
    return named(argparse.Namespace(name=name, namespace=namespace, kubeconfig=kubeconfig, context=None))


def test_a_name_may_carry_its_namespace(kubeconfig: Path) -> None:
    assert asked("llama", None, kubeconfig) == ("team-llm", "llama")
    assert asked("llama", "other", kubeconfig) == ("other", "llama")
    assert asked("other/llama", None, kubeconfig) == ("other", "llama")
    with pytest.raises(UsageError, match="name two namespaces"):
        asked("other/llama", "team-llm", kubeconfig)

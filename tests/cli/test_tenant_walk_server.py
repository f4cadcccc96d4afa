"""Every command of the tenant's guide, on a real API server, by an account that holds the built-in edit role alone.

Each works, or says in one sentence which role is missing.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.waiting import wait_until
from e2e.testbed.tenant_roles import tenant_roles
from mfu.cli.main import main
from mfu.cli.roles import EDITOR, FLEET, READER, VIEWER
from mfu.engine.evaluate import evaluate
from mfu.engine.saved import load
from tests.builders.kube import install_definitions

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide-tenant.md"
SPACE = "team-llm"
ROLES = (VIEWER, EDITOR, FLEET, READER, "built-in")


def commands() -> list[str]:
    """Lines of the guide's consoles, comments left out."""
    blocks = re.findall(r"```console\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    lines = (line.partition("#")[0].strip() for block in blocks for line in block.splitlines())
    return list(dict.fromkeys(line for line in lines if line))


@dataclass(frozen=True)
class Tenant:
    """An account of one namespace."""

    kubeconfig: Path
    kubectl: Path


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Type = Callable[[str], Done]


@pytest.fixture
def types(tenant: Tenant, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Type:
    """What its person types, in the repository; commands of ours without a new Python."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("KUBECONFIG", str(tenant.kubeconfig))
    monkeypatch.setenv("HOME", str(tenant.kubeconfig.parent))

    def run(line: str) -> Done:
        first, *rest = shlex.split(line)
        if first == "mfu":
            code = main(rest)
        else:
            code = subprocess.run([tenant.kubectl, *rest], timeout=240, check=False).returncode
        said = capfd.readouterr()
        return Done(code, said.out, said.err)

    return run


@pytest.fixture(scope="module")
def tenant(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenant]:
    server = control_plane
    install_definitions(server)
    server.apply(*tenant_roles())
    server.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}})
    server.kubectl("create", "serviceaccount", "person", "-n", SPACE)
    who = f"{SPACE}:person"
    server.kubectl("create", "rolebinding", "edit", "-n", SPACE, "--clusterrole=edit", f"--serviceaccount={who}")
    token = server.kubectl("create", "token", "person", "-n", SPACE, "--duration=2h").strip()
    wait_until(lambda: _aggregated(server), what="the chart's roles in the built-in edit role", within_seconds=60)
    path = tmp_path_factory.mktemp("tenant") / "kubeconfig"
    path.write_text(json.dumps(_kubeconfig(server, token)))
    _judged(server)
    yield Tenant(path, Path(server._kubectl))
    server.kubectl("delete", "modelworkload", "--all", "-n", SPACE)


def _aggregated(server: ControlPlane) -> bool:
    rules = server.get("clusterrole", "edit").get("rules") or []
    return any("modelworkloads" in (rule.get("resources") or ()) and "create" in rule["verbs"] for rule in rules)


def _kubeconfig(server: ControlPlane, token: str) -> dict[str, object]:
    document = yaml.safe_load(server.kubeconfig.read_text())
    document["users"] = [{"name": "person", "user": {"token": token}}]
    context = {"cluster": document["clusters"][0]["name"], "user": "person", "namespace": SPACE}
    document["contexts"] = [{"name": "person", "context": context}]
    return {**document, "current-context": "person"}


def _judged(server: ControlPlane) -> None:
    """The workload of the guide with a status, and a job that somebody runs without a declaration."""
    plan = evaluate(*load((ROOT / "examples" / "snapshot.json").read_text()))
    status = next(each.status.document() for each in plan.workloads if each.name == "dense-training")
    document = yaml.safe_load((ROOT / "examples" / "dense-training.yaml").read_text())
    document["metadata"]["namespace"] = SPACE
    server.apply(document)
    patch = json.dumps({"status": status})
    where = ("-n", SPACE, "--subresource=status", "--type=merge", "-p", patch)
    server.kubectl("patch", "modelworkload", "dense-training", *where)
    server.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "chat-batch", "namespace": SPACE},
            "spec": {
                "suspend": True,
                "template": {
                    "spec": {
                        "restartPolicy": "Never",
                        "containers": [
                            {
                                "name": "main",
                                "image": "vllm/vllm-openai:v0.11.0",
                                "args": ["--model", "meta-llama/Llama-3.1-8B-Instruct"],
                                "resources": {"limits": {"nvidia.com/gpu": 1}},
                            }
                        ],
                    }
                },
            },
        }
    )


def test_the_guide_has_commands_of_both_kinds() -> None:
    lines = commands()
    assert len(lines) >= 15
    assert any(line.startswith("kubectl apply") for line in lines)
    assert any("explain" in line for line in lines)


@pytest.mark.parametrize("line", commands())
def test_it_works_or_names_the_role(types: Type, line: str) -> None:
    done = types(line)
    said = done.stderr.strip()
    assert "Traceback" not in done.stdout + said
    if done.returncode == 0:
        return
    assert any(role in said for role in ROLES), (line, done.stdout, said)
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "role"),
    [
        ("mfu report", FLEET),
        ("mfu top --once", FLEET),
        ("mfu explain x -n default", VIEWER),
        ("mfu adopt deployment/x -n default", "built-in view"),
        ("mfu snapshot -f - --seconds 0", READER),
        ("mfu place dense-training", READER),
    ],
)
def test_what_an_editor_may_not_names_the_role_in_one_sentence(types: Type, line: str, role: str) -> None:
    done = types(line)
    assert done.returncode == 2
    assert role in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

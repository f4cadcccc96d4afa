"""At the prompt, on a real API server: two warnings and one refusal; handler off or dead: applied as ever."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.testbed.cluster.plane import ControlPlane
from mfu.engine.prompt import MOST_CHARACTERS
from tests.controller.admission_server import NAME, Admission, admission, applied

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(api_server_only: ControlPlane) -> ControlPlane:
    api_server_only.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    api_server_only.wait_established()
    return api_server_only


@pytest.fixture(scope="module")
def space(server: ControlPlane) -> str:
    return server.new_namespace("prompt")


@pytest.fixture(scope="module")
def handler(server: ControlPlane, space: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admission]:
    with admission(server, tmp_path_factory.mktemp("admission"), space) as made:
        yield made


def job(name: str, *, preset: str = "llama-3.1-8b", products: str = "H100-SXM5", **training: Any) -> str:
    parallelism = training.pop("parallelism", {"data": 8})
    block = {"sequenceLength": 4096, "globalBatchSize": 256, "parallelism": parallelism, **training}
    spec = {
        "mode": "Training",
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name},
        "model": {"preset": preset},
        "accelerators": {"count": 8, "products": [products]},
        "training": block,
    }
    kind = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "ModelWorkload", "metadata": {"name": name}}
    return yaml.safe_dump({**kind, "spec": spec})


TOO_LARGE: dict[str, Any] = {"sharding": "DDP"}
SLOW: dict[str, Any] = {"sharding": "ZeRO3", "recompute": "Full", "microBatchSize": 1}


def warned(stderr: str) -> list[str]:
    return [line.removeprefix("Warning: ") for line in stderr.splitlines() if line.startswith("Warning: ")]


def test_what_does_not_fit_is_warned_with_the_nearest_that_does(handler: Admission, space: str) -> None:
    done = applied(handler.server, job("large", **TOO_LARGE), space)
    assert done.returncode == 0, done.stderr
    (line,) = warned(done.stderr)
    assert (
        line.startswith("needs ") and " GiB per GPU, H100-SXM5 has 80: nearest that fits: sharding DDP → ZeRO3" in line
    )
    assert len(line) <= MOST_CHARACTERS


def test_what_is_slow_is_warned_with_the_first_change(handler: Admission, space: str) -> None:
    done = applied(handler.server, job("slow", preset="llama-3.2-1b", **SLOW), space)
    assert done.returncode == 0, done.stderr
    (line,) = warned(done.stderr)
    assert line.startswith("expected ") and " % of an attainable " in line and line.endswith(" first")
    assert " → " in line


def test_an_unknown_preset_is_refused_with_the_nearest(handler: Admission, space: str) -> None:
    done = applied(handler.server, job("typo", preset="lama-3.1-8b"), space)
    assert done.returncode != 0
    assert "denied the request" in done.stderr
    assert "spec.model.preset" in done.stderr and "did you mean llama-3.1-8b" in done.stderr
    assert handler.server.kubectl("get", "mw", "-n", space, "--ignore-not-found", "typo") == ""


def test_an_unknown_product_is_refused_with_the_nearest(handler: Admission, space: str) -> None:
    done = applied(handler.server, job("product", products="H100-SXM"), space)
    assert done.returncode != 0
    assert "spec.accelerators.products" in done.stderr and "H100-SXM5" in done.stderr


def test_a_policy_with_an_unknown_product_is_refused(handler: Admission, space: str) -> None:
    kind = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "MFUPolicy", "metadata": {"name": f"prices-{space}"}}
    spec = {
        "prices": [{"product": "H1000-SXM5", "perGPUHour": "1"}],
        "namespaceSelector": {"matchLabels": {"a": space}},
    }
    done = applied(handler.server, yaml.safe_dump({**kind, "spec": spec}), space)
    assert done.returncode != 0
    assert "spec.prices" in done.stderr and "H100-SXM5" in done.stderr


def test_a_policy_that_enforces_in_name_only_is_warned(handler: Admission, space: str) -> None:
    kind = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "MFUPolicy", "metadata": {"name": f"force-{space}"}}
    spec = {"modes": {"scaling": "Enforce"}, "namespaceSelector": {"matchLabels": {"a": space}}}
    done = applied(handler.server, yaml.safe_dump({**kind, "spec": spec}), space)
    handler.server.kubectl("delete", "mfupolicy", f"force-{space}")
    (line,) = warned(done.stderr)
    assert line.startswith("modes.scaling is Enforce but actions lists none of Scale")


def test_a_good_declaration_is_applied_without_a_word(handler: Admission, space: str) -> None:
    done = applied(handler.server, job("fine", sharding="ZeRO3", parallelism={"data": 8}, recompute="Selective"), space)
    assert done.returncode == 0
    assert [line for line in warned(done.stderr) if line.startswith("needs")] == []


def test_labels_of_an_object_change_without_a_warning(handler: Admission, space: str) -> None:
    applied(handler.server, job("labelled", **TOO_LARGE), space)
    said = handler.server.kubectl("label", "mw", "labelled", "-n", space, "a=b", "--warnings-as-errors")
    assert "labeled" in said


def test_a_status_write_is_not_asked_about(handler: Admission, space: str) -> None:
    applied(handler.server, job("status", **TOO_LARGE), space)
    patch = '{"status":{"observedGeneration":1}}'
    handler.server.kubectl(
        "patch",
        "mw",
        "status",
        "-n",
        space,
        "--subresource=status",
        "--type=merge",
        "-p",
        patch,
        "--warnings-as-errors",
    )


def test_what_stood_before_the_handler_may_go_and_be_labelled(handler: Admission, space: str) -> None:
    """An object with an unknown name, from a time without a handler: nothing stands in the way of its end."""
    server = handler.server
    hooks = server.get("validatingwebhookconfiguration", NAME)
    server.kubectl("delete", "validatingwebhookconfiguration", NAME)
    old = yaml.safe_load(job("old", preset="no-such-model"))
    old["metadata"]["finalizers"] = ["example.com/held"]
    assert applied(server, yaml.safe_dump(old), space).returncode == 0
    hooks["metadata"] = {"name": NAME}
    server.apply(hooks)
    server.kubectl("annotate", "mw", "old", "-n", space, "a=b")
    server.kubectl("delete", "mw", "old", "-n", space, "--wait=false")
    server.kubectl("patch", "mw", "old", "-n", space, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert server.kubectl("get", "mw", "old", "-n", space, "--ignore-not-found") == ""


def test_a_lost_trust_is_mended(handler: Admission, space: str) -> None:
    """An upgrade may write the configuration without our certificate: it comes back, and answers come again."""
    handler.server.kubectl("delete", "validatingwebhookconfiguration", NAME)
    handler.install()
    deadline = time.monotonic() + 90
    while not handler.trusted():
        assert time.monotonic() < deadline, "the certificate was not announced again"
        time.sleep(1)
    done = applied(handler.server, job("again", **TOO_LARGE), space)
    assert warned(done.stderr)


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_without_it_everything_is_applied_as_ever(server: ControlPlane, space: str, tmp_path: Path, end: str) -> None:
    """Frozen (every call costs its one second) and gone (refused at once), the configuration still in place."""
    with admission(server, tmp_path, space) as handler:
        pid = handler.child.pid
        assert pid is not None
        os.killpg(pid, signal.SIGSTOP if end == "stopped" else signal.SIGKILL)
        try:
            started = time.monotonic()
            done = applied(server, job(f"without-{end}", preset="lama-3.1-8b"), space)
            took = time.monotonic() - started
        finally:
            if end == "stopped":
                os.killpg(pid, signal.SIGCONT)
    assert done.returncode == 0, done.stderr
    assert warned(done.stderr) == []
    assert took < 6.0

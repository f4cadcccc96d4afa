"""Where binaries are looked for, and how they are built. `go` is a small script here."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.testbed.cluster import BinaryUnavailable, ensure_binaries
from e2e.testbed.cluster.binaries import cache_folder
from e2e.testbed.cluster.pins import BINARIES, CONTROL_PLANE, CONTROLLERS, MODULES, fingerprint

_FAKE_GO = """#!/bin/sh
echo "$@" >> "$GO_LOG"
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\n' > "$2"
echo k8s.io/some/package >&2
if [ -n "$GO_FAILS" ]; then echo boom >&2; exit 1; fi
chmod +x "$2"
"""


def _executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with an empty cache, a fake `go`, and no assets."""
    _executable(tmp_path / "bin" / "go", _FAKE_GO)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.defpath}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GO_LOG", str(tmp_path / "go.log"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path


def _builds(machine: Path) -> int:
    log = machine / "go.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_each_binary_is_looked_up_on_its_own(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assets = _executable(machine / "assets" / "etcd").parent
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    cached = _executable(cache_folder(BINARIES["kwok"]) / "kwok")
    found = ensure_binaries(["etcd", "kwok", "kubectl"], progress=lambda line: None)
    assert found["etcd"] == assets / "etcd"
    assert found["kwok"] == cached
    assert found["kubectl"] == cache_folder(BINARIES["kubectl"]) / "kubectl"
    assert _builds(machine) == 1


@pytest.mark.parametrize(("answer", "used"), [("Kubernetes v1.36.1", True), ("Kubernetes v1.31.0", False)])
def test_an_asset_of_another_kubernetes_minor_is_left_aside(
    machine: Path, monkeypatch: pytest.MonkeyPatch, answer: str, used: bool
) -> None:
    asset = _executable(machine / "assets" / "kube-apiserver", f"#!/bin/sh\necho {answer}\n")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(asset.parent))
    said: list[str] = []
    found = ensure_binaries(["kube-apiserver"], progress=said.append)
    assert (found["kube-apiserver"] == asset) is used
    assert any("left aside" in line for line in said) is not used


def test_a_build_tells_what_it_does_and_is_done_once(machine: Path) -> None:
    said: list[str] = []
    ensure_binaries(["etcd"], progress=said.append)
    assert "building once: etcd" in said[0]
    assert "expected 35 s" in said[1]
    assert "built in" in said[2]
    ensure_binaries(["etcd"], progress=said.append)
    assert (_builds(machine), len(said)) == (1, 3)


def test_a_long_build_reports_how_far_it_is(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _executable(machine / "bin" / "go", _FAKE_GO.replace("chmod", "sleep 0.3; chmod"))
    monkeypatch.setattr("e2e.testbed.cluster.gobuild.REPORT_EVERY_SECONDS", 0.1)
    said: list[str] = []
    ensure_binaries(["etcd"], progress=said.append)
    assert any("s of about 35 s, 1 packages compiled" in line for line in said)


def test_two_builders_at_once_build_once(machine: Path) -> None:
    builders = [threading.Thread(target=ensure_binaries, args=(["etcd"],)) for _ in range(4)]
    for builder in builders:
        builder.start()
    for builder in builders:
        builder.join()
    assert _builds(machine) == 1


def test_a_failed_build_leaves_nothing_and_says_why(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GO_FAILS", "1")
    with pytest.raises(BinaryUnavailable, match="boom"):
        ensure_binaries(["etcd"], progress=lambda line: None)
    assert [path.name for path in cache_folder(BINARIES["etcd"]).iterdir()] == [".lock"]


def test_without_go_the_error_says_what_to_do(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine))
    with pytest.raises(BinaryUnavailable, match=r"install Go.*KUBEBUILDER_ASSETS"):
        ensure_binaries(["etcd"], progress=lambda line: None)


def test_the_build_leaves_the_checkouts_go_mod_alone(machine: Path) -> None:
    ensure_binaries(["etcd"], progress=lambda line: None)
    assert "-mod=readonly" in (machine / "go.log").read_text()


@pytest.mark.parametrize("module", sorted({each.module for each in BINARIES.values() if each.source is None}))
def test_every_package_is_pinned_by_its_module(module: str) -> None:
    pinned = (MODULES / module / "go.mod").read_text()
    for binary in BINARIES.values():
        if binary.module == module:
            assert f"\t{binary.package}\n" in pinned or f"tool {binary.package}\n" in pinned


def test_what_is_pinned_differently_is_kept_apart() -> None:
    etcd, kueue = BINARIES["etcd"], BINARIES["kueue"]
    assert kueue.source is not None
    other = replace(kueue, source=replace(kueue.source, sum="h1:other"))
    found = [fingerprint(each) for each in (etcd, kueue, other)]
    assert [len(each) for each in found] == [16, 16, 16]
    assert len(set(found)) == 3


def test_other_peoples_programs_are_not_part_of_the_control_plane() -> None:
    assert set(CONTROL_PLANE) == set(BINARIES) - {"helm", *CONTROLLERS}

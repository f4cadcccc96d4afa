"""`mfu agent`'s arguments, and what it says when it cannot run."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mfu.cli import agent as command
from mfu.cli.errors import UsageError
from mfu.cli.main import main, parser

ROOT = Path(__file__).parents[2]


def test_defaults_fit_the_daemonset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_NAME", "node-7")
    args = parser("agent").parse_args(["agent"])
    assert (args.node, args.port, args.interval, args.window, args.no_gpunode) == ("node-7", 9401, 1.0, 15.0, False)


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "1e9", "x"])
def test_an_interval_that_makes_no_sense_is_refused(interval: str) -> None:
    with pytest.raises(SystemExit):
        parser("agent").parse_args(["agent", "--interval", interval])


def test_without_a_cluster_it_names_the_way_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UsageError, match="--no-gpunode"):
        command._publisher("node-1", None)


def test_a_taken_port_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        arguments = ["agent", "--no-gpunode", "--pod-resources", "", "--host", "127.0.0.1", "--port", port]
        assert main(arguments) == 2
    assert "--port" in capsys.readouterr().err


@pytest.mark.slow
def test_it_stays_small_by_what_it_does_not_import() -> None:
    code = (
        "import sys, mfu.agent.runtime, mfu.agent.podresources, mfu.cluster.plain, mfu.cli.agent\n"
        "print(*{'numpy', 'pydantic', 'aiohttp', 'kubernetes', 'grpc', 'prometheus_client'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT / "operator")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


@pytest.mark.slow
def test_the_recorder_runs_dry(fake_library: Path, tmp_path: Path) -> None:
    out = tmp_path / "dry.jsonl"
    command_line = [sys.executable, "-m", "e2e.recordings.record", "--dry-run", "--out", str(out)]
    subprocess.run(
        [*command_line, "--seconds", "3", "--idle-seconds", "2"],
        env={"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}", "PATH": "/usr/bin:/bin"},
        cwd=ROOT,
        check=True,
        timeout=120,
    )
    assert out.read_text().count('"scenario"') == 5

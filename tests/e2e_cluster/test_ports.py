"""Two who look for a free port at the same time never get the same one, and a port that was taken is no end."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.testbed.cluster import ControlPlane, plane, ports

REPOSITORY = Path(__file__).parents[2]
_ASK = "from e2e.testbed.cluster.ports import free_ports; print(*free_ports(40), flush=True); input()"


def test_a_port_that_another_process_was_given_is_not_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", _ASK], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    theirs = [int(port) for port in other.stdout.readline().split()]
    monkeypatch.setattr(ports, "_candidates", lambda: [*theirs, *(port + 1 for port in theirs)])
    ours = ports.free_ports(80)
    other.communicate("\n")
    assert len(theirs) == 40
    assert ours
    assert not set(ours) & set(theirs)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [("32768 60999", (10_000, 32_768)), ("16000\t65535", (10_000, 16_000)), ("1024 65535", (10_000, 32_768))],
)
def test_ports_lie_below_those_of_outgoing_connections(
    settings: str, expected: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "range").write_text(settings)
    monkeypatch.setattr(ports, "_SOURCE_PORTS", tmp_path / "range")
    candidates = ports._candidates()
    assert (candidates.start, candidates.stop) == expected


@pytest.mark.integration
@pytest.mark.owns_control_plane
def test_a_control_plane_whose_port_was_taken_starts_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        first: Iterator[int] = iter([taken.getsockname()[1]])

        def one_taken(count: int) -> list[int]:
            found = ports.free_ports(count)
            return [next(first, port) for port in found] if count == 1 else found

        monkeypatch.setattr(plane, "free_ports", one_taken)
        with ControlPlane.start(
            scheduler=False, controller_manager=False, kwok=False, progress=lambda line: None
        ) as started:
            assert "default" in started.kubectl("get", "namespaces")

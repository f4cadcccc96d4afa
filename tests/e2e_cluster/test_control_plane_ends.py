"""Nothing of the control plane outlives its parent, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from e2e.testbed.cluster import ControlPlane, StartFailed, wait_until
from e2e.testbed.cluster.folder import RunFolder, sweep
from e2e.testbed.cluster.process import Child, end_group, spawn

REPOSITORY = Path(__file__).parents[2]


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def _children_of(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


@pytest.mark.integration
@pytest.mark.owns_control_plane
@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_is_left_after_the_parent_ends(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "e2e.testbed.cluster", "up", "--dir", str(tmp_path / "run")]
    parent = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        assert any(line.startswith("export KUBECONFIG") for line in iter(parent.stdout.readline, ""))
        children = _children_of(parent.pid)
        assert len(children) == 5
        parent.send_signal(number)
        assert parent.wait(30) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    finally:
        parent.kill()
        parent.communicate()
    wait_until(lambda: not any(map(_alive, children)), what="end of every child", within_seconds=10)


@pytest.mark.integration
@pytest.mark.owns_control_plane
def test_logs_are_kept_and_named_when_the_block_fails_and_removed_when_not() -> None:
    said: list[str] = []
    with pytest.raises(ZeroDivisionError), _api_server(said) as plane:
        raise ZeroDivisionError
    assert (plane.logs_dir / "kube-apiserver.log").stat().st_size > 0
    assert any(str(plane.logs_dir) in line for line in said)
    assert plane.pids() == {}
    (plane.logs_dir.parent / ".kept").unlink()
    sweep(plane.logs_dir.parent.parent)
    assert not plane.logs_dir.exists()


@pytest.mark.integration
@pytest.mark.owns_control_plane
def test_a_given_folder_is_continued_and_belongs_to_one_run(tmp_path: Path) -> None:
    with _api_server([], tmp_path) as plane:
        plane.kubectl("create", "namespace", "kept")
        with pytest.raises(BlockingIOError), _api_server([], tmp_path):
            pytest.fail("two control planes in one folder")
    with _api_server([], tmp_path) as plane:
        assert "kept" in plane.kubectl("get", "namespaces")


def _api_server(said: list[str], folder: Path | None = None) -> AbstractContextManager[ControlPlane]:
    return ControlPlane.start(folder, scheduler=False, controller_manager=False, kwok=False, progress=said.append)


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    started: list[subprocess.Popen[bytes]] = []
    asker = threading.Thread(target=lambda: started.append(spawn(["sleep", "60"])))
    asker.start()
    asker.join()
    (process,) = started
    wait_until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "sleep\n", what="sleep", every_seconds=0.01)
    assert process.poll() is None
    end_group(process, grace_seconds=1)
    assert process.returncode == -signal.SIGTERM


def test_end_group_takes_grandchildren_along(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    process = spawn(["sh", "-c", f"sleep 60 & echo $! > {note}; wait"])
    wait_until(lambda: note.exists() and note.read_text().strip(), what="grandchild", every_seconds=0.01)
    grandchild = int(note.read_text())
    end_group(process, grace_seconds=1)
    wait_until(lambda: not _alive(grandchild), what="end of the grandchild", every_seconds=0.01)


def test_a_program_that_ends_while_starting_shows_its_log(tmp_path: Path) -> None:
    child = Child("broken", ["sh", "-c", "echo no such flag; exit 3"], log=tmp_path / "broken.log", home=tmp_path)
    child.start()
    with pytest.raises(StartFailed) as failed:
        child.wait_ready(lambda: False, within_seconds=5)
    assert "no such flag" in str(failed.value)
    assert child.crashed


def test_the_folder_of_a_killed_run_is_swept_and_that_of_a_live_one_is_not(tmp_path: Path) -> None:
    dead, live = tmp_path / "mfu-cluster-dead", tmp_path / "mfu-cluster-live"
    dead.mkdir()
    (dead / ".owner").touch()
    running = RunFolder(live)
    foreign = tmp_path / "something-else"
    foreign.mkdir()
    sweep(tmp_path)
    assert (dead.exists(), live.exists(), foreign.exists()) == (False, True, True)
    running.close(keep=False)


def test_the_launcher_refuses_to_run_for_a_parent_that_is_gone() -> None:
    launcher = REPOSITORY / "e2e" / "testbed" / "cluster" / "launch.py"
    done = subprocess.run([sys.executable, launcher, str(os.getppid()), "true"], check=False)
    assert done.returncode == 137

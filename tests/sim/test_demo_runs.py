"""The demo as somebody runs it: told the truth, in time, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
LONGEST_SECONDS = 300.0
"""It takes one to two minutes where nothing else runs."""


@pytest.fixture
def demo(control_plane, tmp_path):
    """Starts the demo; the control plane's programs are built by then, so that it is a warm one."""
    environment = {**os.environ, "DEMO_ONCE": "1", "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "e2e.demo"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_warm_demo_tells_the_planted_truth(demo) -> None:
    output, _ = demo.communicate(timeout=LONGEST_SECONDS)
    found = re.search(r"http://127\.0\.0\.1:(\d+)/metrics", output)
    assert found is not None, output[-4000:]
    port = int(found[1])

    assert demo.returncode == 0, output[-4000:]
    assert "every cause is the planted one" in output
    assert not listening(port)


def test_ctrl_c_in_the_middle_cleans_up(demo, tmp_path: Path) -> None:
    for line in demo.stdout:
        if "simulated fleet" in line:
            break
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=20)

    assert demo.returncode == 130
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith("mfu-demo")] == []

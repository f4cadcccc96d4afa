"""The truth on disk: complete, private, replaced in one step."""

import json
import stat
from pathlib import Path

import pytest

from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import Workload
from mfu.sim.truth import Fault, Truth
from mfu.sim.truth_file import fleet_mfu, write_truth


def test_the_truth_is_written_for_its_owner_only(tmp_path: Path) -> None:
    workload = Workload("a", "t", Truth(0.14, Fault.SLOW_LINK, model="llama-3.1-8b", sequence_length=8192), pods=2)
    fleet = SimFleet(parse_nodes("H100-SXM5=2"), [workload], 0)
    path = tmp_path / "truth.json"
    write_truth(fleet, path)
    write_truth(fleet, path)
    written = json.loads(path.read_text())["workloads"]["a/t"]

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["truth.json"]
    assert (written["mfu"], written["cause"], written["product"]) == (0.14, "Communication", "H100-SXM5")
    assert len(written["devices"]) == 16
    assert written["trainedTokensPerSecond"] == pytest.approx(0.14 * 16 * 989.4e12 / 51470401536.0)


def test_idle_gpus_count_for_the_fleet() -> None:
    fleet = SimFleet(parse_nodes("H100-SXM5=1"), [Workload("a", "t", Truth(0.4, model="llama-3.1-8b"), gpus=1)], 0)

    assert fleet_mfu(fleet) == pytest.approx(0.05)

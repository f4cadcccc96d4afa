"""Each command once on what it is for: examples, a config.json, a one-row table and a one-line trace."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mfu.cli.main import main

ROOT = Path(__file__).parents[2]
SAVED = str(ROOT / "examples" / "snapshot.json")
CONFIGS = ROOT / "tests" / "workload" / "configs"
EXAMPLES = [
    ROOT / "examples" / f"{name}.yaml"
    for name in ("dense-training", "moe-training", "serving-decode-heavy", "serving-prefill-heavy", "mig-small")
]
# The published row VT-S0001 of vTrain's ground truth (VIA-Research/vTrain @f8dda84), in our columns.
STEP = {
    "id": "VT-S0001",
    "source": "VIA-Research/vTrain",
    "model": "GPT",
    "hidden": "1024",
    "layers": "24",
    "heads": "16",
    "seq": "1024",
    "global_batch": "16",
    "micro_batch": "8",
    "gpus": "2",
    "gpu": "A100-SXM4-80GB",
    "tp": "1",
    "dp": "1",
    "pp": "2",
    "interleave": "1",
    "recompute": "full",
    "step_s": "0.372160408",
}
READING = {"gpu": 0, "gpm": {"GRAPHICS_UTIL": 99.9, "SM_UTIL": 96.0, "ANY_TENSOR_UTIL": 73.0}, "power_w": 690.0}
TRACE = {
    "scenario": "mine",
    "gpu": "NVIDIA H200",
    "gpus": 1,
    "kind": "train",
    "series": [{**READING, "t": t} for t in range(9)],
}
Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Standard output of a command that ends well and says nothing else."""

    def call(*arguments: str) -> str:
        assert main(arguments) == 0
        said = capsys.readouterr()
        assert said.err == ""
        assert [line for line in said.out.splitlines() if line != line.rstrip()] == []
        return said.out

    return call


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_predict(run: Run, example: Path) -> None:
    found = json.loads(run("predict", "-f", str(example), "-o", "json"))
    assert found["name"] == example.stem
    assert 0 < found["predictions"][0]["mfu"] < 1
    page = run("predict", "-f", str(example))
    assert found["predictions"][0]["product"] in page
    assert "try did you mean" not in page


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_attainable_is_never_below_expected(run: Run, example: Path) -> None:
    head, row, *_ = run("predict", "-f", str(example)).splitlines()[1:]
    cells = dict(
        zip(*([cell.strip() for cell in line.split("   ") if cell.strip()] for line in (head, row)), strict=True)
    )
    attainable, scale = cells["ATTAINABLE"].split()
    assert float(attainable.rstrip("%")) >= float(cells[scale].rstrip("%"))


def test_predict_leaves_out_columns_that_say_nothing(run: Run) -> None:
    dense = str(EXAMPLES[0])
    plain = run("predict", "-f", dense).splitlines()[1].split()
    priced = run("predict", "-f", dense, "--price", "H100-SXM5=2").splitlines()[1].split()
    assert "COST" not in plain
    assert priced == [*plain, "COST"]
    assert "MBU" not in plain
    assert "MBU" in run("predict", "-f", str(EXAMPLES[2])).splitlines()[1]


@pytest.mark.parametrize("columns", [80, 140])
def test_the_waterfall_fits_the_terminal(columns: int, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    page = re.sub(r"\x1b\[[0-9;]*m", "", run("predict", "-f", str(EXAMPLES[2])))
    lines = page[page.index("where the peak goes") :].splitlines()
    assert len(lines) > 8
    assert [line for line in lines if len(line) > columns] == []


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_plan(run: Run, example: Path) -> None:
    found = json.loads(run("plan", "-f", str(example), "--top", "2", "-o", "json"))
    assert found["choices"][0]["fits"]
    assert len(found["choices"]) <= 2
    assert "today" in run("plan", "-f", str(example), "--top", "2")


@pytest.mark.parametrize("config", ["llama-3.1-8b", "mixtral-8x7b", "gemma-2-9b", "deepseek-v2-lite", "bert-large"])
def test_what_init_writes_is_predicted(run: Run, config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = run("init", "--from-config", str(CONFIGS / f"{config}.json"), "--name", "mine")
    monkeypatch.setattr("sys.stdin", io.StringIO(written))
    found = json.loads(run("predict", "-f", "-", "--product", "H200-SXM", "-o", "json"))
    assert found["name"] == "mine"
    assert 0 < found["predictions"][0]["mfu"] < 1


def test_validate(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_text(",".join(STEP) + "\n" + ",".join(STEP.values()) + "\n")
    assert "1 rows, 1 predicted, 0 refused" in run("validate", "steps", str(path))
    found: dict[str, Any] = json.loads(run("validate", "steps", str(path), "-o", "json"))
    assert found["rows"] == 1


def test_diagnose(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(json.dumps(TRACE) + "\n")
    assert json.loads(run("diagnose", str(path), "-o", "json"))[0]["scenario"] == "mine"
    assert run("diagnose", str(path)).startswith("mine: ")


def test_replay_explains_one_as_json(run: Run) -> None:
    found = json.loads(run("replay", SAVED, "--explain", "team-llm/moe-training", "-o", "json"))
    assert (found["namespace"], found["name"]) == ("team-llm", "moe-training")
    assert found["status"]["summary"]["model"] == "mixtral-8x7b"


@pytest.mark.parametrize("command", [("gpus",), ("presets",), ("replay", SAVED)], ids=lambda command: command[0])
def test_tables_are_aligned(run: Run, command: tuple[str, ...]) -> None:
    head, *rows = run(*command).splitlines()
    second = head.index(f"  {head.split()[1]}") + 2
    assert len(rows) > 5
    assert [row for row in rows if row[second - 1] != " " or row[second] == " "] == []


def test_a_closed_pipe_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return spare.fileno()

    with (tmp_path / "spare").open("w") as spare:
        monkeypatch.setattr("sys.stdout", Closed())
        assert main(["presets"]) == 0

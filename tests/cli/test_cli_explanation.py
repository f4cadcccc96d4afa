"""The page of one workload: what each kind of status makes it say, and what it must not say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from mfu.api.workload_status import WorkloadStatus
from mfu.cli.explanation import print_explanation
from mfu.show.explanation import explanation

SINCE = "2026-11-22T06:00:00Z"
TRAINING: dict[str, Any] = {
    "summary": {
        "model": "llama-3.1-8b",
        "scale": "MFU",
        "expected": "48.0%",
        "observed": "15.0%",
        "attainable": "50.0%",
        "cause": "Communication",
        "costPerHour": "$20.00",
        "lostPerHour": "$13.75",
    },
    "allocation": {"gpus": 8, "product": "H100-SXM5", "nodes": 1},
    "expected": [{"product": "H100-SXM5", "basis": "Assigned", "mfu": "0.48"}],
    "waterfall": [{"name": "kernel ceiling", "share": "0.30"}, {"name": "attention", "share": "0.22"}],
    "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "lastTransitionTime": SINCE}],
}
PROGRESS = {
    "window": "10m",
    "meter": "Progress",
    "mfu": "0.15",
    "low": "0.13",
    "high": "0.17",
    "confidence": "0.9",
    "coverage": "0.87",
    "source": "progress",
    "observedAt": "2026-11-22T06:53:08Z",
}
COUNTERS = {**PROGRESS, "meter": "Counters", "mfu": "0.16", "confidence": "0.95", "estimated": True}
LOSS = {
    "cause": "Communication",
    "explains": "Runtime",
    "actor": "Provider",
    "share": "0.26",
    "counterfactualMFU": "0.41",
    "confidence": "0.95",
    "action": "put the GPUs in one NVLink domain",
    "evidence": "PCIe traffic per GPU 29.9 GB/s",
}


def condition(type_: str, status: str, message: str) -> dict[str, str]:
    return {"type": type_, "status": status, "message": message, "reason": "R", "lastTransitionTime": SINCE}


def explain(status: dict[str, Any]) -> None:
    """The page of a status that reads wholly: a test whose words do not read tests nothing."""
    print_explanation(explanation("team", "job", WorkloadStatus.model_validate(status)))


@dataclass(frozen=True)
class Case:
    """Fields beside or instead of those of TRAINING, words that must stand in a line, words that must not appear."""

    status: dict[str, Any]
    lines: tuple[tuple[str, ...], ...]
    absent: tuple[str, ...] = ()


CASES = {
    "runs on one node": Case(
        {},
        (
            ("team/job", "llama-3.1-8b"),
            ("runs on", "8 × H100-SXM5 on 1 node"),
            ("expected", "48.0% MFU"),
            ("cost", "$20.00 per hour, $13.75 of it lost"),
            ("main cause", "Communication"),
            ("ready", "True"),
        ),
        ("1 nodes",),
    ),
    "runs on two nodes": Case(
        {"allocation": {"gpus": 16, "product": "H200-SXM", "nodes": 2}}, (("16 × H200-SXM on 2 nodes",),)
    ),
    "waits": Case({"allocation": None}, (("runs on", "waiting"),), ("nodes",)),
    "waterfall with unknown observed": Case(
        {},
        (
            ("peak", "100.0 %", 30 * "█"),
            ("− kernel ceiling", "30.0 %", 9 * "█"),
            ("= expected MFU", "48.0 %"),
            ("observed is unknown",),
        ),
        ("not reached", "= observed"),
    ),
    "a gain in the waterfall": Case(
        {"waterfall": [{"name": "overlap", "share": "-0.05"}]}, (("+ overlap", "5.0 %"),), ("-5.0", "− overlap")
    ),
    "a part too small to see": Case({"waterfall": [{"name": "optimizer", "share": "0.0002"}]}, (), ("optimizer",)),
    "observed below expected": Case(
        {"observed": [PROGRESS]},
        (("− not reached at run time", "33.0 %"), ("= observed MFU (progress, 10m)", "15.0 %")),
        ("observed is unknown",),
    ),
    "windows that tell the same": Case(
        {
            "observed": [
                PROGRESS,
                {**PROGRESS, "window": "1h"},
                {**PROGRESS, "window": "start", "mfu": "0.14"},
                COUNTERS,
            ]
        },
        (
            ("10m to 1h Progress", "MFU 15.0 %"),
            ("start Progress", "MFU 14.0 %"),
            ("10m Counters", "MFU 16.0 %"),
        ),
        ("10m Progress", "1h to", "to start"),
    ),
    "observed above expected": Case(
        {"observed": [{**PROGRESS, "mfu": "0.50"}]}, (("+ more than expected", "2.0 %"),), ("not reached",)
    ),
    "progress goes before counters": Case(
        {"observed": [COUNTERS, PROGRESS]},
        (
            ("= observed MFU (progress, 10m)", "15.0 %"),
            ("10m", "Counters", "16.0 %"),
            ("Counters: estimated",),
            ("10m", "Progress", "13.0 % to 17.0 %", "coverage 0.87"),
            ("Progress: measured", "progress at 2026-11-22T06:53:08Z"),
        ),
    ),
    "another window is not the one shown": Case(
        {"observed": [{**PROGRESS, "window": "1h"}]}, (("observed is unknown",), ("1h", "Progress")), ("= observed",)
    ),
    "a meter that knows nothing": Case(
        {"observed": [{"window": "10m", "meter": "Progress", "coverage": "0"}]},
        (("10m", "Progress", "MFU Unknown"), ("observed is unknown",)),
        (" % to ",),
    ),
    "no waterfall": Case({"expected": []}, (("main cause",),), ("From peak", "peak  ")),
    "decode without MFU": Case(
        {"expected": [{"product": "H100-SXM5", "basis": "Assigned", "mbu": "0.5"}]},
        (("expected", "48.0% MFU"),),
        ("From peak",),
    ),
    "a loss with all its figures": Case(
        {"losses": [LOSS]},
        (
            ("Where the rest went",),
            ("Communication · runtime loss · Provider",),
            ("costs 26.0 % of peak; mended: 41.0 % MFU; confidence 0.95",),
            ("do: put the GPUs in one NVLink domain",),
            ("evidence: PCIe traffic per GPU 29.9 GB/s",),
        ),
        ("nothing is wasted",),
    ),
    "a loss that wastes nothing": Case(
        {"losses": [{**LOSS, "cause": "MemoryBound", "explains": "Configuration", "wasted": False}]},
        (("MemoryBound · configuration loss", "nothing is wasted"),),
    ),
    "a loss of which little is known": Case(
        {"losses": [{"cause": "Unknown", "explains": "Runtime"}]},
        (("Unknown · runtime loss · Unknown",), ("confidence Unknown",)),
        ("costs", "mended", "evidence", "do:"),
    ),
    "changes": Case(
        {
            "attainable": {
                "changes": [
                    {"field": "microBatchSize", "from": "1", "to": "2", "gain": "0.031", "throughputGain": "0.06"},
                    {"field": "recompute", "from": "Full", "to": "None", "gain": "0.0001", "throughputGain": "0.001"},
                ]
            }
        },
        (
            ("From the declared setting to the attainable one",),
            ("microBatchSize: 1 → 2", "+3.1 points, +6 % tokens/s"),
            ("recompute: Full → None",),
        ),
        ("+0 %", "+0.0 points"),
    ),
    "conditions that are bad": Case(
        {
            "conditions": [
                condition("Ready", "False", "not shown"),
                condition("Accepted", "False", "names unknown H100-SXM6"),
                condition("Telemetry", "Unknown", "no word yet"),
            ]
        },
        (("ready", "False"), ("! Accepted: names unknown H100-SXM6",)),
        ("not shown", "no word yet"),
    ),
    "readings of other dashboards": Case(
        {
            "readings": [
                {"name": "GPU utilisation", "value": "1", "unit": "fraction"},
                {"name": "SM clock", "value": "1980000000", "unit": "Hz"},
                {"name": "power", "value": "365.34", "unit": "W"},
            ]
        },
        (("GPU utilisation", "100 %", "waiting counts"), ("SM clock", "1980 MHz"), ("power", "365.3 W")),
    ),
    "decisions": Case(
        {
            "decisions": [
                {"type": "Placement", "outcome": "Move", "mode": "Recommend", "reason": "Split", "message": "join"}
            ]
        },
        (("Decisions",), ("Placement: Move (recommend, Split) join",)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_page(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = CASES[case]
    explain({**TRAINING, **wanted.status})
    page = capsys.readouterr().out
    lines = page.splitlines()
    assert [words for words in wanted.lines if not any(all(word in line for word in words) for line in lines)] == []
    assert [word for word in wanted.absent if word in page] == []
    assert [line for line in lines if line != line.rstrip()] == []


def test_empty_status_is_unknown_throughout(capsys: pytest.CaptureFixture[str]) -> None:
    explain({})
    page = capsys.readouterr().out
    assert page.count("Unknown") >= 6
    assert "0.0%" not in page
    assert "None" not in page


def test_markup_of_messages_is_printed_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    decision = {"type": "Scaling", "outcome": "None", "mode": "Recommend", "reason": "R", "message": "[red]x[/red]"}
    losses = [{**LOSS, "action": "set [bold]", "evidence": "[/x] 1"}]
    explain({**TRAINING, "decisions": [decision], "losses": losses})
    page = capsys.readouterr().out
    assert "[red]x[/red]" in page
    assert "set [bold]" in page
    assert "[/x] 1" in page


@pytest.mark.parametrize("columns", [80, 140])
def test_a_terminal_is_not_overrun(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    losses = [{**LOSS, "action": "put all of them in one place " * 8, "evidence": "a figure 1 GB/s, " * 12}]
    explain({**TRAINING, "observed": [PROGRESS, {**COUNTERS, "mbu": "0.116"}], "losses": losses})
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert [line for line in lines if len(line) > columns] == []
    following = lines[next(n for n, line in enumerate(lines) if line.startswith("    do: ")) + 1]
    assert following.startswith("      ")
    assert any(line.startswith("  peak") and line.endswith(30 * "█") for line in lines)

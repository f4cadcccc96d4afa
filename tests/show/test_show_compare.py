"""Side by side, and in the order of what deserves a look."""

from __future__ import annotations

import argparse
import json
import os
import re
from typing import cast

import pytest

from mfu.api.workload_status import (
    Allocation,
    Attainable,
    Basis,
    Cost,
    Expected,
    History,
    Meter,
    Observed,
    Summary,
    WorkloadStatus,
)
from mfu.cli import top as cli_top
from mfu.cli.errors import UsageError
from mfu.cli.main import main
from mfu.cli.top import BAR, _look, gauge
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.show.compare import compared, side
from mfu.show.levels import ScaleLevels, levels
from mfu.show.top import TopOrder, top
from mfu.show.workloads import Listed

LONG = "mbs 1 gbs 128 seq 8192 d8 ZeRO1 None BF16"
EXAMPLE = "examples/snapshot.json"


def row(mfu: str, *, version: str = "v1", product: str = "H100-SXM5", gpus: int = 8, setting: str = LONG) -> History:
    return History(
        model="llama", model_version=version, product=product, gpus=gpus, setting=setting, after=mfu, samples=30
    )


def workload(*rows: History, name: str = "job") -> Listed:
    return Listed("team", name, "Training", WorkloadStatus(history=rows))


def sentence(a: History, b: History) -> str:
    sides = [side(workload(each)) for each in (a, b)]
    assert sides[0] is not None
    assert sides[1] is not None
    return compared(sides[0], sides[1]).sentence


@pytest.mark.parametrize(
    ("b", "words"),
    [
        (row("0.41"), ("the same as A",)),
        (row("0.405", version="v2"), ("the same as A", "though it differs: version v1 → v2")),
        (row("0.28", product="A100"), ("13.0 points less (-32%)", "Infrastructure: product H100-SXM5 → A100")),
        (row("0.30", version="v2"), ("Configuration: version v1 → v2",)),
        (row("0.50", setting=LONG.replace("mbs 1", "mbs 2")), ("9.0 points more (+22%)", "Configuration: setting")),
        (row("0.30", gpus=64, setting=LONG.replace("d8", "d64")), ("Scaling: ", "GPUs 8 → 64")),
        (row("0.30"), ("Infrastructure: nothing that was declared differs",)),
    ],
)
def test_a_difference_is_classed_by_what_differs(b: History, words: tuple[str, ...]) -> None:
    said = sentence(row("0.41"), b)
    assert [each for each in words if each not in said] == []


def test_the_past_is_found_by_version_product_or_size() -> None:
    mine = workload(row("0.41", version="v2"), row("0.3", gpus=64), row("0.2", product="A100-SXM4-80GB"))
    for word, mfu in ((None, 0.41), ("v2", 0.41), ("64", 0.3), ("A100-SXM4-80GB", 0.2)):
        found = side(mine, word)
        assert found is not None
        assert found.mfu == mfu
    assert side(mine, "v9") is None
    assert side(workload()) is None


def test_only_the_present_has_a_price_for_tokens() -> None:
    status = WorkloadStatus(
        history=(row("0.41"),),
        observed=(Observed(window="10m", meter=Meter.PROGRESS, mfu="0.41", tokens_per_second_per_gpu="1250"),),
        cost=Cost(currency="$", per_hour="36"),
        allocation=Allocation(gpus=8),
    )
    now, past = (side(Listed("team", "job", "Training", status), word) for word in (None, "v1"))
    assert now is not None
    assert past is not None
    assert now.per_million_tokens == pytest.approx(1.0)
    assert past.per_million_tokens is None


def test_levels_are_on_the_scale_of_the_workload() -> None:
    expected = Expected(product="A", basis=Basis.ASSIGNED, mfu="0.1", mbu="0.5")
    status = WorkloadStatus(
        summary=Summary(scale="MBU"), expected=(expected,), attainable=Attainable(mfu="0.3", mbu="0.4")
    )
    assert levels(status) == ScaleLevels(0.5, None, 0.5)
    assert levels(status.model_copy(update={"summary": Summary(scale="MFU")})) == ScaleLevels(0.1, None, 0.3)
    assert levels(WorkloadStatus()) == ScaleLevels(None, None, None)


def costly(name: str, lost: str | None, gpus: int) -> Listed:
    cost = None if lost is None else Cost(currency="$", per_hour="20", lost_per_hour=lost)
    return Listed("team", name, "Training", WorkloadStatus(cost=cost, allocation=Allocation(gpus=gpus)))


def test_what_loses_most_stands_first_and_the_unknown_last() -> None:
    found = [costly("a", "1", 64), costly("b", None, 8), costly("c", "9", 8), costly("d", "0", 8)]
    assert [each.key for each in top(found, TopOrder.LOST)] == ["team/c", "team/a", "team/d", "team/b"]
    assert [each.key for each in top(found, TopOrder.GPUS)] == ["team/a", "team/b", "team/c", "team/d"]
    assert [each.key for each in top(found, TopOrder.NAME)] == ["team/a", "team/b", "team/c", "team/d"]


def test_a_gauge_is_as_full_as_what_it_shows() -> None:
    assert gauge(ScaleLevels(None, 0.5, None)) == "█" * (BAR // 2) + "·" * (BAR // 2)
    assert gauge(ScaleLevels(1.0, None, None)) == "·" * (BAR - 1) + "│"
    assert len(gauge(ScaleLevels(3.0, 7.0, None))) == BAR


def test_top_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--snapshot", EXAMPLE, "-o", "json"]) == 0
    first, *others = json.loads(capsys.readouterr().out)
    assert first["workload"] == "team-vision/faulty-training"
    assert (first["observed"], first["cause"], first["gpus"]) == (pytest.approx(0.15), "Communication", 8)
    assert all(each["lost_per_hour"] <= first["lost_per_hour"] for each in others)


def test_top_prints_the_saved_moment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--snapshot", EXAMPLE]) == 0
    head, names, first, *rest = capsys.readouterr().out.splitlines()
    assert "6 workloads; 41 GPUs" in head
    assert names.split()[0] == "WORKLOAD"
    assert first.startswith("team-vision/faulty-training")
    assert len(rest) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compare", "team-llm/absent", "team-llm/dense-training"], "no such workload; there are"),
        (["compare", "team-llm/dense-training@v9", "team-llm/dense-training"], "its history has no v9; write one of"),
        (["ask", "cost", "team/absent"], "no such workload; there are"),
        (["top", "--seconds", "0"], "look once a second at most"),
        (["top", "--seconds", "nan"], "look once a second at most"),
    ],
)
def test_what_can_not_be_done_is_said_with_what_can(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--snapshot", EXAMPLE]) == 2
    assert words in capsys.readouterr().err


def test_compare_prints_both_and_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "team-llm/dense-training", "team-vision/faulty-training", "--snapshot", EXAMPLE]) == 0
    out = capsys.readouterr().out
    assert "reference MFU" in out
    assert "B reaches 15.0 % where A reaches 34.7 %" in out
    assert "Configuration: " in out


class AwayClient:
    """An API server that does not answer, or refuses."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def list(self, *_: object, **__: object) -> None:
        raise self.error


async def test_a_server_that_is_away_for_a_while_ends_nothing() -> None:
    arguments = argparse.Namespace(namespace=None, sort="lost")
    table = await _look(cast(KubeClient, AwayClient(ServerUnreachable("refused"))), arguments, 10)
    assert table.row_count == 1
    with pytest.raises(UsageError, match="name a namespace that you may read with -n"):
        await _look(cast(KubeClient, AwayClient(ApiError(403, "Forbidden", "no", "list"))), arguments, 10)


@pytest.mark.parametrize(("columns", "bars"), [(80, False), (200, True)])
def test_one_picture_fits_its_terminal(
    columns: int, bars: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setattr(cli_top, "get_terminal_size", lambda: os.terminal_size((columns, 24)))
    assert main(["top", "--once", "--snapshot", EXAMPLE]) == 0
    printed = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out)
    assert max(map(len, printed.splitlines())) <= columns
    assert ("█" in printed) is bars

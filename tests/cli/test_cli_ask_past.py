"""`mfu ask --prometheus`: what the last days add to an answer, and what is said where nobody answers."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from mfu.cli.ask import with_past
from mfu.cli.main import main
from mfu.show.facts import Fact
from mfu.show.questions.answer import Answer
from mfu.telemetry.prometheus.past import PastLevel, expression, past_of
from mfu.web.serving import served
from tests.builders.seen import EXAMPLE

LEVEL = {"mfu": PastLevel(0.41, 0.38, 0.44)}


def test_an_answer_gets_the_past_of_the_workloads_that_it_names() -> None:
    alone = Answer("q", "team/a", "Yes", "Yes.")
    across = Answer("q", "llama", "No", "No.", (Fact("H100", "40 % over 9 minutes of team/a, team/b.c and team/d"),))
    told = with_past((alone, across), {"team/a": LEVEL, "team/b.c": LEVEL, "team/other": LEVEL}, 7)
    assert told[0].evidence == (Fact("last 7 days", "team/a: 41.0 % MFU on average (38.0 % to 44.0 %), by Prometheus"),)
    assert [each.value.split(":")[0] for each in told[1].evidence[1:]] == ["team/a", "team/b.c"]


async def test_each_workload_by_its_better_meter_and_no_number_that_is_none() -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        query = parse_qs(urlsplit(str(request.url)).query)["query"][0]
        asked.append(query)
        value = {"avg": "0.4", "min": "0.3", "max": "NaN" if "mbu" in query else "0.5"}[query[:3]]
        labels = {"namespace": "team", "workload": "a", "meter": "Progress"}
        rows = [{"metric": labels, "value": [1.0, value]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": rows}})

    application = web.Application()
    application.router.add_get("/api/v1/query", answer)
    async with served(application, host="127.0.0.1", port=0) as port:
        found = await past_of(f"http://127.0.0.1:{port}/", 3, 1_800_000_000.0)
    assert found == {"team/a": {"mfu": PastLevel(0.4, 0.3, 0.5)}}
    assert asked[0] == expression("avg", "mfu", 3)
    assert asked[0].count("[3d]") == 2


def test_where_nobody_answers_the_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["ask", "cost", "--snapshot", str(EXAMPLE), "--prometheus", "http://127.0.0.1:9"])
    assert code == 2
    assert "--prometheus http://127.0.0.1:9" in capsys.readouterr().err


def test_without_the_option_nothing_is_asked_of_anybody(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "cost", "--snapshot", str(EXAMPLE), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not [fact for each in told for fact in each["evidence"] if fact["label"].startswith("last ")]

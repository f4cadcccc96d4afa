"""The endpoint over real HTTP on loopback, with a clock of the test's."""

import asyncio

import aiohttp
import pytest

from mfu.sim.fleet import SimFleet
from mfu.sim.inventory import parse_nodes
from mfu.sim.pods import Workload
from mfu.sim.server import SimServer, serve
from mfu.sim.truth import Truth

NODE = "/nodes/h100-sxm5-00/metrics"
POD = "/pods/a/t-0/metrics"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def client(clock):
    fleet = SimFleet(parse_nodes("H100-SXM5=2"), [Workload("a", "t", Truth(0.4, model="llama-3.1-8b"))], 3)
    async with (
        serve(fleet, endpoint=SimServer(fleet, clock=clock)) as url,
        aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=5)) as session,
    ):
        yield session


async def page(client, path):
    async with client.get(path, allow_redirects=False) as response:
        return response.status, await response.text()


async def switch(client, **fault):
    async with client.post("/faults", json=fault) as response:
        return response.status


async def test_pages_and_health(client) -> None:
    assert await page(client, "/healthz") == (200, "ok\n")
    assert "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{" in (await page(client, NODE))[1]
    assert "train_tokens_total" in (await page(client, POD))[1]
    assert (await page(client, "/nodes/nowhere/metrics"))[0] == 404
    assert (await page(client, "/pods/a/nobody/metrics"))[0] == 404


async def test_the_whole_fleet_in_one_answer(client) -> None:
    status, text = await page(client, "/metrics/all")

    assert status == 200
    assert text == (await page(client, NODE))[1] + (await page(client, "/nodes/h100-sxm5-01/metrics"))[1]


async def test_faults_are_switched_on_listed_and_off(client) -> None:
    assert await switch(client, kind="nan", target="h100-sxm5-00", metric="SM_CLOCK") == 201
    assert "NaN" in (await page(client, NODE))[1]
    assert "NaN" not in (await page(client, "/nodes/h100-sxm5-01/metrics"))[1]
    async with client.get("/faults") as response:
        assert await response.json() == [{"kind": "nan", "target": "h100-sxm5-00", "metric": "SM_CLOCK"}]
    await client.delete("/faults")
    assert "NaN" not in (await page(client, NODE))[1]


async def test_a_wrong_fault_is_refused(client) -> None:
    assert await switch(client, kind="gremlins") == 400
    async with client.post("/faults", data=b"{") as response:
        assert response.status == 400


async def test_errors_and_redirects(client) -> None:
    await switch(client, kind="error-500", target="h100-sxm5-00")
    await switch(client, kind="redirect", target="a/t-0")

    assert (await page(client, NODE))[0] == 500
    assert (await page(client, POD))[0] == 302
    assert "h100-sxm5-00" not in (await page(client, "/metrics/all"))[1]


async def test_a_refused_target_closes_the_connection(client) -> None:
    await switch(client, kind="refused", target="h100-sxm5-00")

    with pytest.raises(aiohttp.ClientConnectionError):
        await page(client, NODE)


async def test_an_endless_body_has_no_end(client) -> None:
    await switch(client, kind="endless", target="h100-sxm5-00")

    async with client.get(NODE) as response:
        read = 0
        while read < 100_000:
            read += len(await response.content.readany())
        assert not response.content.at_eof()


async def test_a_silent_body_gives_headers_only(client) -> None:
    await switch(client, kind="slow", target="h100-sxm5-00")

    async with client.get(NODE) as response:
        assert response.status == 200
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readany(), 0.05)


async def test_stale_series_stand_still_until_switched_off(client, clock) -> None:
    await switch(client, kind="stale")
    first = await page(client, NODE), await page(client, POD)
    clock.now += 30
    second = await page(client, NODE), await page(client, POD)
    await client.delete("/faults")

    assert first == second
    assert (await page(client, NODE), await page(client, POD)) != first


async def test_reset_counters_count_from_zero(client, clock) -> None:
    def tokens(text):
        return float(text.splitlines()[2].split()[1])

    before = tokens((await page(client, POD))[1])
    await switch(client, kind="counter-reset", target="a/t-0")
    at_reset = tokens((await page(client, POD))[1])
    clock.now += 10
    after = tokens((await page(client, POD))[1])

    assert before > 1e6
    assert at_reset == 0
    assert 0 < after < 0.1 * before


async def test_a_fault_planted_while_it_runs_slows_the_counters(client, clock) -> None:
    def tokens(text):
        return float(text.splitlines()[2].split()[1])

    async def rate():
        before = tokens((await page(client, POD))[1])
        clock.now += 14
        return (tokens((await page(client, POD))[1]) - before) / 14

    healthy = await rate()
    async with client.post("/plant", json={"workload": "a/t", "fault": "slow-link"}) as response:
        assert await response.json() == {"pods": ["t-0"]}
    slow = await rate()
    await client.post("/plant", json={"workload": "a/t", "fault": "none"})

    assert slow / healthy == pytest.approx(0.1452 / 0.4957, rel=0.01)
    assert await rate() == pytest.approx(healthy, rel=0.01)


@pytest.mark.parametrize("body", [{"workload": "a/t"}, {"workload": "a/t", "fault": "gremlins"}, ["x"]])
async def test_a_wrong_plan_is_refused(client, body) -> None:
    async with client.post("/plant", json=body) as response:
        assert response.status == 400

"""One HTTP endpoint for the whole simulated fleet: exporters, workload metrics, health, fault switches."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from aiohttp import web

from mfu.sim import progress
from mfu.sim.exposition import Exporters
from mfu.sim.faults import degraded
from mfu.sim.fields import NamingRegime
from mfu.sim.fleet import SimFleet
from mfu.sim.telemetry_faults import (
    TRANSPORT,
    ActiveFault,
    InvalidFault,
    TelemetryFault,
    break_text,
    counter_values,
    parse_fault,
    since_baseline,
)
from mfu.sim.truth import Fault, InvalidPlan, Truth
from mfu.web.serving import served

_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
_ENDLESS_CHUNK: Final = b'DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{gpu="0"} 0.5\n' * 200
_SLOW_SECONDS: Final = 3600.0

Clock = Callable[[], float]


class SimServer:
    """The simulator's web application. `clock` gives seconds; one that does not stand still, or a test's own."""

    def __init__(
        self,
        fleet: SimFleet,
        *,
        regime: NamingRegime = NamingRegime.LEGACY,
        counters: str = "full",
        clock: Clock = time.time,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.fleet = fleet
        self.faults: list[ActiveFault] = []
        self._exporters = Exporters(fleet, regime=regime, counters=counters)
        self._clock = clock
        self._changed = changed
        self._planned: dict[str, Truth] = {}
        self._frozen: dict[str, str] = {}
        self._baselines: dict[str, dict[str, float]] = {}

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/nodes/{node}/metrics", self._node),
                web.get("/metrics/all", self._all),
                web.get("/pods/{namespace}/{pod}/metrics", self._pod),
                web.get("/faults", self._list_faults),
                web.post("/faults", self._add_fault),
                web.delete("/faults", self._clear_faults),
                web.post("/plant", self._plant),
            ]
        )
        return app

    def node_text(self, node: str) -> str:
        """Exposition text of the node with its telemetry faults; KeyError for an unknown node."""
        return self._broken(node, lambda now: self._exporters.text(node, now))

    def pod_text(self, key: str) -> str:
        """Metrics page of the pod with its telemetry faults; KeyError for an unknown pod."""
        return self._broken(key, lambda now: progress.text(self.fleet, key, now))

    def _broken(self, target: str, render: Callable[[float], str]) -> str:
        hits = [fault for fault in self.faults if fault.hits(target)]
        if any(fault.kind is TelemetryFault.STALE for fault in hits):
            return self._frozen.setdefault(target, render(self._clock()))
        text = render(self._clock())
        if any(fault.kind is TelemetryFault.RESET for fault in hits):
            text = since_baseline(text, self._baselines.setdefault(target, counter_values(text)))
        return break_text(text, hits)

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _node(self, request: web.Request) -> web.StreamResponse:
        node = request.match_info["node"]
        return await self._answer(request, node, lambda: self.node_text(node))

    async def _pod(self, request: web.Request) -> web.StreamResponse:
        key = f"{request.match_info['namespace']}/{request.match_info['pod']}"
        return await self._answer(request, key, lambda: self.pod_text(key))

    async def _all(self, request: web.Request) -> web.StreamResponse:
        failed = await self._transport_fault(request, "")
        if failed is not None:
            return failed
        response = web.StreamResponse(headers={"Content-Type": _TEXT})
        await response.prepare(request)
        for node in self.fleet.nodes:
            if not self._transport_faults(node):
                await response.write(self.node_text(node).encode())
        await response.write_eof()
        return response

    async def _answer(self, request: web.Request, target: str, text: Callable[[], str]) -> web.StreamResponse:
        failed = await self._transport_fault(request, target)
        if failed is not None:
            return failed
        try:
            return web.Response(text=text(), headers={"Content-Type": _TEXT})
        except KeyError:
            return web.Response(status=404, text=f"nothing simulated under {target}\n")

    def _transport_faults(self, target: str) -> list[ActiveFault]:
        return [fault for fault in self.faults if fault.kind in TRANSPORT and fault.hits(target)]

    async def _transport_fault(self, request: web.Request, target: str) -> web.StreamResponse | None:
        active = self._transport_faults(target)
        if not active:
            return None
        kind = active[0].kind
        if kind is TelemetryFault.REFUSED:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()
        if kind is TelemetryFault.ERROR_500:
            return web.Response(status=500, text="internal error\n")
        if kind is TelemetryFault.REDIRECT:
            return web.Response(status=302, headers={"Location": "/healthz"})
        return await _never_ending(request, silent=kind is TelemetryFault.SLOW)

    async def _list_faults(self, request: web.Request) -> web.Response:
        return web.json_response([_document(fault) for fault in self.faults])

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            fault = parse_fault(await request.json(), self._clock())
        except (InvalidFault, json.JSONDecodeError, AttributeError) as error:
            return web.Response(status=400, text=f"{error}\n")
        self.faults.append(fault)
        return web.json_response(_document(fault), status=201)

    async def _plant(self, request: web.Request) -> web.Response:
        """`{"workload": "ns/name", "fault": "slow-link", "strength": 0.5}` from now on; `none` undoes it."""
        try:
            document = await request.json()
            workload, fault = str(document["workload"]), Fault(document["fault"])
            pods = self.fleet.workload_pods(workload)
            for pod in pods:
                planned = self._planned.setdefault(pod.key, pod.truth)
                truth = planned if fault is Fault.NONE else degraded(planned, fault, float(document.get("strength", 1)))
                progress.replant(self.fleet, pod.key, truth, self._clock())
        except (InvalidPlan, ValueError, KeyError, TypeError) as error:
            return web.Response(status=400, text=f"{error}\n")
        self._changed()
        return web.json_response({"pods": [pod.name for pod in pods]})

    async def _clear_faults(self, request: web.Request) -> web.Response:
        self.faults.clear()
        self._frozen.clear()
        self._baselines.clear()
        return web.json_response([])


@asynccontextmanager
async def serve(
    fleet: SimFleet, port: int = 0, *, host: str = "127.0.0.1", endpoint: SimServer | None = None
) -> AsyncIterator[str]:
    """The endpoint on that port (0: a free one) for the length of the block; gives its URL."""
    application = (endpoint or SimServer(fleet)).application()
    async with served(application, host=host, port=port, shutdown_seconds=0.1) as taken:
        yield f"http://{host}:{taken}"


async def _never_ending(request: web.Request, *, silent: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": _TEXT})
    await response.prepare(request)
    with suppress(ConnectionError):
        while True:
            await asyncio.sleep(_SLOW_SECONDS if silent else 0.01)
            await response.write(_ENDLESS_CHUNK)
    return response


def _document(fault: ActiveFault) -> dict[str, str]:
    return {"kind": fault.kind.value, "target": fault.target, "metric": fault.metric}

"""Stamps our scheduling gate by webhook, for API servers without MutatingAdmissionPolicy. It decides nothing.

Its own small process, without watch, lease or state. It refuses nobody: what it cannot read is let through as it is,
and the API server asks it with `failurePolicy: Ignore` and waits two seconds at most.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from mfu.api.names import GATED_ANNOTATION, PLACEMENT_GATE
from mfu.cluster.json_patch import annotated, operation
from mfu.cluster.resources import JSON
from mfu.controller import certificate
from mfu.controller.admission import Options
from mfu.controller.server import serve

log = logging.getLogger(__name__)

PATH: Final = "/stamp"
MOST_BYTES: Final = 4 * 1024 * 1024
"""A review holds one pod, and an object is at most some megabytes."""
RELOAD_SECONDS: Final = 60.0


def stamped(review: JSON) -> JSON:
    """The answer to an AdmissionReview: always allowed, with the gate where the pod may have one."""
    request = review.get("request") or {}
    answer: JSON = {"uid": request.get("uid", ""), "allowed": True}
    patch = patch_of(request.get("object") or {})
    if patch:
        text = base64.b64encode(json.dumps(patch).encode()).decode()
        answer |= {"patchType": "JSONPatch", "patch": text}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}


def patch_of(pod: JSON) -> list[JSON]:
    """The gate beside those that it brings along. A pod that comes with its node is invalid with one: it has none."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    gates = spec.get("schedulingGates") or []
    if not spec or spec.get("nodeName") or any(each.get("name") == PLACEMENT_GATE for each in gates):
        return []
    gate = {"name": PLACEMENT_GATE}
    path, value = ("/spec/schedulingGates/-", gate) if gates else ("/spec/schedulingGates", [gate])
    return [annotated(metadata, GATED_ANNOTATION, "true"), operation("add", path, value)]


async def _answer(request: web.Request) -> web.Response:
    try:
        review = await request.json()
        return web.json_response(stamped(review))
    except Exception:
        # What we cannot read is nobody's fault: the API server lets it through.
        log.exception("no answer")
        return web.Response(status=500)


@asynccontextmanager
async def stamping(options: Options) -> AsyncIterator[int]:
    """Serves for the length of the block; gives the port that was taken."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(context, options)
    app = web.Application(client_max_size=MOST_BYTES)
    app.add_routes([web.post(PATH, _answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    reloading = asyncio.create_task(_reload(context, options), name="certificate-reload")
    try:
        await web.TCPSite(runner, options.address, options.port, ssl_context=context).start()
        yield int(runner.addresses[0][1])
    finally:
        reloading.cancel()
        await runner.cleanup()


def _load(context: ssl.SSLContext, options: Options) -> None:
    context.load_cert_chain(options.certificates / "tls.crt", options.certificates / "tls.key")


async def _reload(context: ssl.SSLContext, options: Options) -> None:
    """New connections are served with the certificate of now."""
    loaded = _changed_at(options)
    while True:
        await asyncio.sleep(RELOAD_SECONDS)
        if _changed_at(options) != loaded:
            loaded = _changed_at(options)
            _load(context, options)


def _changed_at(options: Options) -> float:
    return (options.certificates / "tls.crt").stat().st_mtime


async def stamp(options: Options, ended: asyncio.Event) -> int:
    """Serve until `ended`."""
    async with AsyncExitStack() as running:
        await certificate.keep_own(
            running,
            options.certificates,
            options.host,
            options.configuration,
            kubeconfig=options.kubeconfig,
            webhooks=certificate.MUTATING_WEBHOOKS,
        )
        await running.enter_async_context(stamping(options))
        await running.enter_async_context(_health(options))
        await ended.wait()
    return 0


def _health(options: Options) -> Any:
    def well() -> str | None:
        return None

    return serve(CollectorRegistry(), host=options.address, port=options.health_port, healthy=well, ready=well)

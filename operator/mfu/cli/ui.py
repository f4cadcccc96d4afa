"""`mfu ui`: the cluster as a page in your browser, with your kubeconfig's own rights. It shows and changes nothing.

The page is served on this machine only, to whoever has the key in the address that is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import hmac
import secrets
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from mfu.cli.cluster import FORBIDDEN, with_client
from mfu.cli.errors import UsageError
from mfu.cli.listing import add_shard, add_source, judged, narrowed
from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.reviews import token_of
from mfu.cluster.said import UnknownToServer, fleet_status, workload_statuses
from mfu.web.seen import Known, Refusal, Rights, Seen, Source, Unavailable
from mfu.web.server import Site, serve_page

FRESH_SECONDS: Final = 5.0
"""What was read is shown for this long before the cluster is asked again."""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("ui", help="the cluster as a page", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: a free one)")
    add_shard(parser)
    add_source(parser)


def run(args: argparse.Namespace) -> int:
    if not 0 <= args.port <= 65_535:
        raise UsageError(f"--port {args.port}: is no port; 0 takes a free one")
    if args.snapshot:
        asyncio.run(_serve(replayed(args.snapshot, args.namespace), args.port))
        return 0
    with_client(args, lambda client: _from_cluster(ClusterSource(client, args.namespace, args.shard), args.port))
    return 0


async def _from_cluster(source: ClusterSource, port: int) -> None:
    try:
        # What is wrong is told here, before anybody opens a page.
        await source.read()
    except ApiError as error:
        raise narrowed(error, source.namespace) from error
    await _serve(source, port)


async def _serve(source: Source, port: int) -> None:
    key = secrets.token_urlsafe(24)
    try:
        async with serve_page(Site(source, partial(may_show, key)), host="127.0.0.1", port=port) as taken:
            print(f"http://127.0.0.1:{taken}/#token={key}\nPress Ctrl-C to stop.", flush=True)
            await asyncio.Event().wait()
    except OSError as error:
        raise UsageError(f"--port {port}: can not be served on: {error.strerror}; 0 takes a free one") from error


async def may_show(key: str, authorization: str | None, _: frozenset[str]) -> Rights | Refusal:
    """Whoever has the key sees what the kubeconfig's account could read."""
    token = token_of(authorization)
    if token is None or not hmac.compare_digest(token.encode(), key.encode()):
        return 401
    return Rights(everything=True, fleet=True)


@dataclass(slots=True)
class ClusterSource:
    """The cluster as the account of the kubeconfig may see it, read again when what was read is old."""

    client: KubeClient
    namespace: str | None = None
    shard: str = ""
    """Whose report is shown; empty for that of the one operator of all namespaces."""
    _seen: Seen | None = None
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self) -> Seen:
        async with self._reading:
            if self._seen is None or time.time() - self._seen.at >= FRESH_SECONDS:
                try:
                    self._seen = await self.read()
                except (ApiError, ServerUnreachable) as error:
                    raise Unavailable(f"The cluster can not be read: {error}") from error
            return self._seen

    async def read(self) -> Seen:
        """Raises ApiError and ServerUnreachable."""
        said = await workload_statuses(self.client, self.namespace)
        known = tuple(Known(each.namespace, each.name, each.mode, each.status) for each in said)
        try:
            report = await fleet_status(self.client, self.shard)
        except UnknownToServer:
            return Seen(time.time(), known, None)
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
            return Seen(time.time(), known, None)
        return Seen(time.time(), known, report)


def replayed(path: Path, namespace: str | None) -> Source:
    """A saved moment, judged once."""
    seen = judged(path).of(namespace)

    async def source() -> Seen:
        return seen

    return source

"""`mfu stamp`: put our scheduling gate on pods, by webhook, where the API server has no MutatingAdmissionPolicy. The
chart runs it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from typing import TYPE_CHECKING, Any

from mfu.cli.admission import add_serving, options_of

if TYPE_CHECKING:
    from mfu.controller.admission import Options


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("stamp", help="put our gate on pods, by webhook", description=__doc__)
    add_serving(parser, announced="MutatingWebhookConfiguration")


def run(args: argparse.Namespace) -> int:
    logging.basicConfig(
        level=args.log_level.upper(), format="time=%(asctime)s level=%(levelname)s logger=%(name)s %(message)s"
    )
    return asyncio.run(_served(options_of(args)))


async def _served(options: Options) -> int:
    from mfu.controller.stamp import stamp

    ended = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, ended.set)
    return await stamp(options, ended)

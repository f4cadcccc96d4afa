"""A program that runs until it is told to stop, or until a part of it ended by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_stopped(running: Coroutine[Any, Any, None], stop: asyncio.Event, *, name: str) -> int:
    """0 when it was told to stop, which is no failure; 1 when it ended by itself. Nothing of it runs on after that."""
    program = asyncio.create_task(running, name=name)
    stopped = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait((program, stopped), return_when=asyncio.FIRST_COMPLETED)
        return 1 if program.done() and not stop.is_set() else 0
    finally:
        for task in (program, stopped):
            task.cancel()
        await asyncio.gather(program, stopped, return_exceptions=True)

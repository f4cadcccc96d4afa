"""What tests on a real API server share: waiting, and objects to write."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml

from e2e.testbed.cluster.plane import ControlPlane

ROOT = Path(__file__).parents[2]


async def eventually(check: Callable[[], Awaitable[Any] | Any], *, within_seconds: float = 30.0) -> Any:
    """What `check` gives once it is true; fails when it never is."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while True:
        found = check()
        answer = await found if isinstance(found, Awaitable) else found
        if answer:
            return answer
        assert loop.time() < deadline, f"not within {within_seconds} s: {check}"
        await asyncio.sleep(0.02)


def install_definitions(server: ControlPlane) -> None:
    server.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    server.wait_established()


def training(name: str) -> dict[str, Any]:
    """The dense example under another name."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "dense-training.yaml").read_text())
    document["metadata"] = {"name": name}
    document["spec"]["targetRef"]["name"] = name
    return document

"""A real Chromium without a window, spoken to by its DevTools protocol: open, press, look, and hear of every error."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from e2e.testbed.cluster.process import end_group, spawn

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS, WAIT_SECONDS = 60.0, 20.0
_KEYS: Final = {"Enter": "\r", "Escape": "", "Tab": ""}


def found() -> str | None:
    """Path of the browser; None where there is none (`apt-get install chromium`)."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def install() -> str | None:
    """The browser, fetched first where Debian's package can be: as root, in a minute or two."""
    if found() is None and shutil.which("apt-get") is not None and os.geteuid() == 0:
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
            subprocess.run(["apt-get", *command], capture_output=True, check=False, timeout=600)
    return found()


@dataclass(slots=True)
class Tab:
    """One page. `errors` are uncaught exceptions, console errors and refused requests, as they came."""

    socket: aiohttp.ClientWebSocketResponse
    errors: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(WAIT_SECONDS):
            return await answer

    async def listen(self) -> None:
        async for message in self.socket:
            told = message.json()
            waiting = self._waiting.pop(told.get("id", -1), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(told.get("result", told))
            self._hear(told.get("method"), told.get("params") or {})

    def _hear(self, method: str | None, said: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.errors.append(str(details.get("exception", {}).get("description") or details["text"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.errors.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and said["type"] == "error":
            self.errors.append(str(said["args"]))

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression gives; a promise is waited for."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise AssertionError(found["exceptionDetails"])
        return found["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Waits until it is true; returns what it gives then."""
        deadline = asyncio.get_running_loop().time() + WAIT_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if given := await self.value(expression):
                return given
            await asyncio.sleep(0.05)
        page = await self.value("document.body.innerText.slice(0, 600)")
        raise AssertionError(f"never true: {expression}; errors {self.errors}; the page says {page!r}")

    async def press(self, key: str) -> None:
        text = _KEYS.get(key, key)
        await self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def picture(self, path: Path, *, width: int = 1280, height: int = 800) -> None:
        """A screenshot of that size, as PNG."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        await asyncio.sleep(0.4)
        taken = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(taken["data"]))


@asynccontextmanager
async def browser(*, dark: bool = False) -> AsyncIterator[Tab]:
    """One empty page in a browser of its own, closed with all of its processes at the end."""
    program = found()
    if program is None:
        raise FileNotFoundError("no Chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="mfu-browser-", ignore_cleanup_errors=True) as home:
        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]
        command += ["--disable-dev-shm-usage", "--remote-debugging-port=0", f"--user-data-dir={home}", "about:blank"]
        with (Path(home) / "browser.log").open("wb") as log:
            process = spawn(command, stdout=log, stderr=log)
        try:
            port = await _port(Path(home) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session, _tab(session, port) as tab:
                scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
                await tab.call("Emulation.setEmulatedMedia", features=[scheme])
                yield tab
        finally:
            end_group(process, grace_seconds=2.0)


async def _port(told: Path) -> int:
    async with asyncio.timeout(START_SECONDS):
        while True:
            lines = told.read_text().splitlines() if told.exists() else []
            if lines:
                return int(lines[0])
            await asyncio.sleep(0.05)


@asynccontextmanager
async def _tab(session: aiohttp.ClientSession, port: int) -> AsyncIterator[Tab]:
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = [each for each in await answer.json() if each["type"] == "page"]
    async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
        tab = Tab(socket)
        listening = asyncio.create_task(tab.listen())
        try:
            for domain in ("Page", "Runtime", "Log", "Network"):
                await tab.call(f"{domain}.enable")
            await tab.call("Performance.enable", timeDomain="threadTicks")
            yield tab
        finally:
            listening.cancel()


if __name__ == "__main__":
    print(f"chromium: {install() or 'not here; tests in a real browser are left out (apt-get install chromium)'}")

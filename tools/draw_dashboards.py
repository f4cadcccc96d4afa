"""Draw the shipped Grafana dashboards, from their committed JSON over a real Prometheus that holds simulated fleets.

    python -m tools.draw_dashboards [--out docs/images] [--only demo] [--keep FOLDER]

Grafana's own components draw (tools/dashboards/page, fetched by npm the first time); docs/dashboards.md says what of
Grafana is not there. `--keep` leaves the fleets' hours in a folder and takes them from there the next time.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web

from e2e.testbed.browser import Tab, browser
from e2e.testbed.prometheus import ensure, running
from tools.dashboards.fleets import FLEETS
from tools.dashboards.hours import history
from tools.dashboards.pictures import PICTURES
from tools.generate.gen_dashboards import TARGET

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = Path(__file__).parent / "dashboards" / "page"
WIDTH: Final = 1440
PATIENCE_SECONDS: Final = 180
ICONS: Final = {
    "info-circle": "M12 2a10 10 0 1 0 0 20 10 10 0 0 0 0-20zm0 2a8 8 0 1 1 0 16 8 8 0 0 1 0-16z"
    "m-1 7h2v6h-2zm0-4h2v2h-2z",
    "arrow-down": "M11 5h2v10h4l-5 5-5-5h4z",
    "arrow-up": "M11 19h2V9h4l-5-5-5 5h4z",
}
"""Those that a dashboard shows: Grafana serves its own from its app. Others are left blank."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Draws the shipped Grafana dashboards.")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--only", choices=tuple(FLEETS), help="one of the fleets")
    parser.add_argument("--keep", type=Path, help="folder that keeps the fleets' hours")
    asked = parser.parse_args(arguments)
    built()
    with tempfile.TemporaryDirectory(prefix="mfu-dashboards-") as passing:
        for fleet in FLEETS if asked.only is None else (asked.only,):
            folder = (asked.keep or Path(passing)) / fleet
            end = blocks(fleet, folder)
            config = folder / "prometheus.yaml"
            config.write_text("{}\n")
            with running(config, "--storage.tsdb.retention.time=10y") as prometheus:
                asyncio.run(drawn(fleet, prometheus, end, asked.out))
    return 0


def built() -> None:
    """The page's bundle; its packages first where they are not here."""
    if not (PAGE / "node_modules").exists():
        subprocess.run(["npm", "ci"], cwd=PAGE, check=True)
    subprocess.run(["npm", "run", "--silent", "build"], cwd=PAGE, check=True, capture_output=True)


def blocks(fleet: str, folder: Path) -> float:
    """When the fleet's hours end (Unix seconds); they lie in the folder as Prometheus keeps them."""
    told = folder / "end"
    if told.exists():
        return float(told.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    end, text = float(int(time.time()) // 120 * 120), folder / "page.txt"
    with text.open("w") as out:
        for line in history(FLEETS[fleet](), end):
            out.write(f"{line}\n")
    made: list[str | Path] = ["tsdb", "create-blocks-from", "openmetrics", text, folder / "data"]
    subprocess.run([ensure()["promtool"], *made], check=True, capture_output=True)
    text.unlink()
    told.write_text(str(end))
    return end


async def drawn(fleet: str, prometheus: str, end: float, out: Path) -> None:
    async with served() as here:
        for each in (picture for picture in PICTURES if picture.fleet == fleet):
            asked = {
                "dashboard": f"{here}/dashboards/{each.dashboard}.json",
                "prometheus": prometheus,
                "to": f"{1000 * end:.0f}",
                "hours": FLEETS[fleet]().hours,
                "theme": "dark" if each.dark else "light",
                **{f"var-{name}": value for name, value in each.variables.items()},
            }
            async with browser(dark=each.dark) as tab:
                await taken(tab, f"{here}/index.html?{urlencode(asked)}", out / f"{each.name}.png")
            print(out / f"{each.name}.png", flush=True)


async def taken(tab: Tab, url: str, path: Path) -> None:
    """A picture of the whole dashboard; SystemExit where it said that something is wrong."""
    size: dict[str, Any] = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    await tab.call("Emulation.setDeviceMetricsOverride", **size)
    await tab.open(url)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await tab.value("document.querySelector('[data-ready=true]') !== null"):
            if tab.errors:
                raise SystemExit(f"{url}: {tab.errors}")
            await asyncio.sleep(0.5)
    height = await tab.value("document.querySelector('[data-ready]').offsetHeight")
    await tab.picture(path, width=WIDTH, height=height)
    if tab.errors:
        raise SystemExit(f"{url}: {tab.errors}")


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """Address of the page and of the committed dashboards."""
    app = web.Application()
    app.router.add_get("/public/{rest:.*}", _icon)
    app.router.add_static("/dashboards", TARGET)
    app.router.add_static("/", PAGE)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _icon(request: web.Request) -> web.Response:
    path = ICONS.get(Path(request.path).stem, "")
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    drawn = f'{head}<path fill-rule="evenodd" d="{path}"/></svg>'
    return web.Response(text=drawn, content_type="image/svg+xml")


if __name__ == "__main__":
    sys.exit(main())

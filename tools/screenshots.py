"""Pictures of the page for docs/, taken in a real Chromium: `python -m tools.screenshots`.

The fleet is that of examples/snapshot.json, and one picture shows 500 workloads made of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console
from rich.terminal_theme import MONOKAI

from e2e.testbed.browser import Tab, browser
from mfu.cli.top import picture as top_picture
from mfu.cli.ui import may_show
from mfu.show.top import TopOrder
from mfu.web.seen import Seen
from mfu.web.server import Site, serve_page
from tests.builders.seen import example, many

IMAGES: Final = Path(__file__).parents[1] / "docs" / "images"
KEY: Final = "key"
PICTURES: Final = (
    ("page-workloads", "workloads", False, 520),
    ("page-workload", "workloads/team-vision/faulty-training", False, 1160),
    ("page-fleet", "fleet", False, 780),
    ("page-questions", "questions", False, 900),
    ("page-decisions", "decisions", True, 480),
)
"""Name, view, dark, height in pixels."""
COLUMNS, ROWS, ROW_PIXELS = 150, 24, 19


async def main() -> None:
    for name, view, dark, height in PICTURES:
        await picture(example(), view, IMAGES / f"{name}.png", dark=dark, height=height)
    await picture(many(500), "workloads", IMAGES / "page-500.png", dark=False, height=700)
    await terminal(many(500), IMAGES / "top-500.png")


async def terminal(seen: Seen, path: Path) -> None:
    """`mfu top --sort name` as a terminal shows it."""
    out = Console(record=True, width=COLUMNS, file=StringIO())
    for line in top_picture(tuple(seen.listed()), TopOrder.NAME, rows=ROWS):
        out.print(line)
    with TemporaryDirectory() as folder:
        shown = Path(folder) / "top.html"
        shown.write_text(out.export_html(theme=MONOKAI), encoding="utf-8")
        async with browser(dark=True) as tab:
            await tab.open(shown.as_uri())
            await tab.picture(path, height=ROW_PIXELS * (ROWS + 3))


async def picture(seen: Seen, view: str, path: Path, *, dark: bool, height: int) -> None:
    async with (
        serve_page(Site(giving(seen), partial(may_show, KEY)), host="127.0.0.1", port=0) as port,
        browser(dark=dark) as tab,
    ):
        await tab.open(f"http://127.0.0.1:{port}/#token={KEY}")
        await settled(tab)
        await tab.value(f"location.hash = '{view}'")
        await settled(tab)
        # The hour of taking it says nothing.
        await tab.value("document.getElementById('state').textContent = ''")
        await tab.picture(path, height=height)
        if tab.errors:
            raise SystemExit(f"{view}: {tab.errors}")


async def settled(tab: Tab) -> None:
    await tab.until("document.querySelector('main h1') && !document.querySelector('main').hasAttribute('aria-busy')")


def giving(seen: Seen) -> Callable[[], Awaitable[Seen]]:
    async def source() -> Seen:
        return seen

    return source


if __name__ == "__main__":
    asyncio.run(main())

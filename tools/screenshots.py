"""Pictures of the page for docs/, taken in a real Chromium: `python -m tools.screenshots`.

The fleet is that of examples/snapshot.json, and one picture shows 500 workloads made of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final

from e2e.testbed.browser import Tab, browser
from mfu.cli.ui import may_show
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


async def main() -> None:
    for name, view, dark, height in PICTURES:
        await picture(example(), view, IMAGES / f"{name}.png", dark=dark, height=height)
    await picture(many(500), "workloads", IMAGES / "page-500.png", dark=False, height=700)


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

"""What the demo says: progress while it works, then plain text. Without a terminal every step is one line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from e2e.demo.verdict import Difference

_WIDTH = 140


class Screen:
    """Steps with their times; `interactive` is whether a person watches."""

    def __init__(self, *, interactive: bool | None = None) -> None:
        self.interactive = sys.stdout.isatty() if interactive is None else interactive
        # Without a terminal rich would guess 80 columns and cut the tables.
        width = None if self.interactive else _WIDTH
        self._console = Console(highlight=False, force_terminal=self.interactive, soft_wrap=True, width=width)
        self._started = time.monotonic()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """One step of the story, timed; a spinner on a terminal."""
        begun = time.monotonic()
        if self.interactive:
            with self._console.status(what):
                yield
        else:
            yield
        self.say(f"[{self.elapsed:5.1f} s] {what} ({time.monotonic() - begun:.1f} s)")

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def say(self, line: str) -> None:
        self._console.print(Text(line))

    def section(self, title: str) -> None:
        self._console.print()
        self._console.print(Text(f"── {title}", style="bold"))

    def output(self, command: str, text: str) -> None:
        """A command and what it printed, as a person would see it."""
        self._console.print(Text(f"$ {command}", style="bold cyan"))
        self._console.print(Text(text.rstrip()))

    def differences(self, found: Sequence[Difference]) -> None:
        table = Table("workload", "what", "planted", "shown", title="differs from the planted truth")
        for each in found:
            table.add_row(each.workload, each.what, each.planted, each.shown)
        self._console.print(table)

    def notes(self, title: str, lines: Sequence[str]) -> None:
        self.section(title)
        for line in lines:
            self.say(f"  {line}")

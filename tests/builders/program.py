"""A program of ours beside a test, which does not outlive it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def running(command: Sequence[str], **popen: Any) -> Iterator[subprocess.Popen[Any]]:
    """Killed at the end where it runs on: leaving a `Popen` waits for it, and a failed test would wait for ever."""
    with subprocess.Popen(command, **popen) as process:
        try:
            yield process
        finally:
            process.kill()

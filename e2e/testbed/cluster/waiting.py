"""Waiting for something to become true in a cluster."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(probe: Callable[[], T], *, what: str, within_seconds: float = 30.0, every_seconds: float = 0.1) -> T:
    """The first truthy answer of `probe`; raises TimeoutError naming `what` and the last answer."""
    deadline = time.monotonic() + within_seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {within_seconds:.0f} s; last answer: {answer!r}")
        time.sleep(every_seconds)
    return answer


def answers(url: str) -> bool:
    """Whether a program answers there, and well."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (OSError, urllib.error.URLError):
        return False

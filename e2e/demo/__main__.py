"""`python -m e2e.demo`: stays up until Ctrl-C; without a terminal or with DEMO_ONCE=1 it ends after printing."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from e2e.demo.screen import Screen
from e2e.demo.story import play
from e2e.testbed.cluster.binaries import BinaryUnavailable
from e2e.testbed.cluster.client import KubectlFailed
from e2e.testbed.cluster.process import StartFailed


def main() -> int:
    """0: shown, and nothing differed from the planted truth. 1: something did, or a part failed. 130: cut off."""
    # A shell that starts us in the background leaves SIGINT ignored; whoever sends it means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    once = os.environ.get("DEMO_ONCE", "") not in ("", "0")
    screen = Screen(interactive=False if once else None)
    try:
        return play(screen, lambda: _stay(screen))
    except (BinaryUnavailable, StartFailed, KubectlFailed, TimeoutError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _stay(screen: Screen) -> None:
    screen.say("running; Ctrl-C ends and cleans up")
    try:
        signal.pause()
    except KeyboardInterrupt:
        screen.say("cleaning up")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

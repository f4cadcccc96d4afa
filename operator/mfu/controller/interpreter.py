"""How Python itself is set, so that no thread and no collection of garbage keeps the loop from its sockets."""

from __future__ import annotations

import gc
import sys
from typing import Final

SWITCH_SECONDS: Final = 0.0005
"""How long a thread that judges or reads keeps the loop waiting at a stretch: Python's own 5 ms let it answer two
hundred times a second at most, and a fleet of ten thousand asks for more."""
YOUNG_OBJECTS: Final = 20_000
"""Made before the collector looks at them. What kopf makes of an event refers to itself in circles and holds the whole
object that it is about: 100,000 young objects were 330,000 blocks of memory, of statuses that nobody needed."""
YOUNG_LOOKS: Final = 100
"""Looks at young objects between two at older ones, which stop every thread for 0.2 s and more."""


def give_way() -> None:
    """From the start of the process on."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_LOOKS, 20)


def calm() -> None:
    """What has been built stays: the garbage collector need not walk through it for ever."""
    gc.collect()
    gc.freeze()

"""How Python itself is set, so that no thread and no collection of garbage keeps the loop from its sockets, and memory
that was used once goes back.
"""

from __future__ import annotations

import ctypes
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


ARENAS: Final = 2
"""Of the C library's heap. By default each thread that asks for memory gets one of its own, up to eight a core, and
what a page of a list or of readings took there is not used by another."""
MAPPED_BYTES: Final = 256 * 1024
"""From this size on a block is returned as soon as it is free: left alone, the C library keeps up to 32 MiB."""
SMALL_PAGES: Final = 41
"""To Linux: memory in pages of 4 KiB alone (PR_SET_THP_DISABLE). Numpy asks for pages of 2 MiB for arrays of 4 MiB and
more; windows of readings are reserved for the largest fleet, and a small one writes a part of each."""
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
"""https://sourceware.org/git/?p=glibc.git;a=blob;f=malloc/malloc.h"""


def give_way() -> None:
    """From the start of the process on."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_LOOKS, 20)


def spare() -> bool:
    """Before the first thread; False where the C library has no such settings."""
    library = ctypes.CDLL(None)
    if hasattr(library, "prctl"):
        library.prctl(SMALL_PAGES, 1, 0, 0, 0)
    if not hasattr(library, "mallopt"):
        return False
    return bool(library.mallopt(_M_ARENA_MAX, ARENAS) and library.mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES))


def calm() -> None:
    """What has been built stays, and need not be walked through for ever; what the building wasted is given back."""
    gc.collect()
    gc.freeze()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)

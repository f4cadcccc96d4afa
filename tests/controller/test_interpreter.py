"""What refers to itself in circles is let go of before much of it is there; kopf makes such of every event."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from mfu.controller.interpreter import ARENAS, YOUNG_OBJECTS, calm, give_way


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*thresholds)


class Circle:
    def __init__(self) -> None:
        self.itself = self


def test_circles_do_not_pile_up() -> None:
    give_way()
    left: weakref.WeakSet[Circle] = weakref.WeakSet()
    most = 0
    for _ in range(3 * YOUNG_OBJECTS):
        left.add(Circle())
        most = max(most, len(left))
    assert 0 < most <= 25_000


HEAPS = """
import ctypes, os, sys, tempfile, threading
from mfu.controller.interpreter import spare
if sys.argv[1] == "spare" and not spare():
    print("none")
    raise SystemExit
together, kept = threading.Barrier(12), []
def work():
    together.wait()
    kept.append([bytes(2000) for _ in range(2000)])
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
for each in threads: each.start()
for each in threads: each.join()
library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
with tempfile.TemporaryFile() as file:
    stream = ctypes.c_void_p(library.fdopen(os.dup(file.fileno()), b"w"))
    library.malloc_info(0, stream)
    library.fclose(stream)
    file.seek(0)
    print(file.read().count(b"<heap nr="))
"""


@pytest.mark.parametrize(("how", "few"), [("spare", True), ("as it is", False)])
def test_threads_share_two_heaps_where_they_would_have_one_each(how: str, few: bool) -> None:
    ended = subprocess.run([sys.executable, "-c", HEAPS, how], capture_output=True, text=True, check=True)
    if not hasattr(ctypes.CDLL(None), "malloc_info"):
        pytest.skip("this C library does not tell of its heaps")
    assert (int(ended.stdout) <= ARENAS) is few


def test_what_is_free_is_given_back_once_all_is_built() -> None:
    calm()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


PAGES = """
import ctypes, sys
from mfu.controller.interpreter import spare
if sys.argv[1] == "spare":
    spare()
print(ctypes.CDLL(None).prctl(42, 0, 0, 0, 0))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "prctl"), reason="Linux alone has it")
def test_arrays_are_given_no_more_memory_than_is_written() -> None:
    """42 asks what SMALL_PAGES has set."""
    told = [
        subprocess.run([sys.executable, "-c", PAGES, how], capture_output=True, text=True, check=True).stdout.strip()
        for how in ("plain", "spare")
    ]
    assert told == ["0", "1"]

"""`engines.c`, compiled where it is first asked for: replicas of a serving engine under a day, two seconds a tick."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks.scaling.service_times import KV_TOKENS, Floats, Law

TICK_SECONDS: Final = 2
"""First tokens and last ones are timed inside a tick; slots are freed and requests routed once a tick."""
CYCLE_SECONDS: Final = 20
"""A scaler is asked so often."""
CHUNK_TOKENS: Final = 2048.0
SOURCE: Final = Path(__file__).with_name("engines.c")
SEEN: Final = 13
_Numbers = ctypes.POINTER(ctypes.c_double)
_Asked = ctypes.CFUNCTYPE(ctypes.c_int, _Numbers)


class _Law(ctypes.Structure):
    _fields_ = [(name, ctypes.c_double) for name in ("base", "per_sequence", "per_token", "chunk")]


class _Limits(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_double) for name in ("ttft", "tpot", "kv_tokens")),
        ("most", ctypes.c_int),
    ]


class _Requests(ctypes.Structure):
    _fields_ = [*((name, _Numbers) for name in ("at", "inputs", "outputs", "prefill")), ("count", ctypes.c_long)]


class Counted(ctypes.Structure):
    """Of a whole run."""

    _fields_ = [(name, ctypes.c_double) for name in ("requests", "ttft_met", "tpot_met", "gpu_seconds")]
    requests: float
    ttft_met: float
    tpot_met: float
    gpu_seconds: float


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError("no C compiler: install cc or gcc to replay a day")
    with TemporaryDirectory() as folder:
        built = Path(folder) / "engines.so"
        command = [compiler, "-O3", "-shared", "-fPIC", "-o", str(built), str(SOURCE), "-lm"]
        subprocess.run(command, check=True, timeout=60)
        library = ctypes.CDLL(str(built))
    library.replay.restype = ctypes.c_long
    return library


def _pointer(values: Floats) -> ctypes._Pointer[ctypes.c_double]:
    return values.ctypes.data_as(_Numbers)


def replay(
    law: Law,
    requests: tuple[Floats, Floats, Floats],
    ask: Callable[[list[float]], int | None],
    *,
    limits: tuple[float, float, int],
    start_seconds: Floats,
    first: int,
    begin: float,
    until: float,
    asked_from: float,
) -> tuple[Counted, list[int]]:
    """What came of it, and the number of replicas at each cycle.

    `requests`: seconds, prompt and answer tokens, by time. `limits`: seconds to the first token and per token, and most
    replicas. `start_seconds` are used one after the other, from the first again when they run out. `ask` is given 13
    numbers, those of `deployment.Metrics`; None leaves the replicas.
    """
    prefill = law.prefill_seconds(requests[1])
    chunk = float(law.prefill_seconds(np.array(CHUNK_TOKENS)))

    def asked(seen: ctypes._Pointer[ctypes.c_double]) -> int:
        wanted = ask(seen[:SEEN])
        return -1 if wanted is None else wanted

    counted = Counted()
    replicas = (ctypes.c_int * (int(until - begin) // CYCLE_SECONDS + 1))()
    said = _library().replay(
        _Law(law.base, law.per_sequence, law.per_token, chunk),
        _Limits(limits[0], limits[1], float(KV_TOKENS), limits[2]),
        _Requests(*(_pointer(each) for each in (*requests, prefill)), len(prefill)),
        _pointer(start_seconds),
        ctypes.c_long(len(start_seconds)),
        first,
        *(ctypes.c_double(each) for each in (begin, until, asked_from)),
        _Asked(asked),
        ctypes.byref(counted),
        replicas,
    )
    return counted, list(replicas[:said])

"""Layouts that no table holds, as JSON lines that `mfu validate runs` reads: tensor, pipeline and context parallel,
FSDP with and without prefetching, accumulation, sharded optimizers, experts in a loop and grouped, recomputation.

    PYTHONPATH=. python3 -m e2e.recordings.layouts --out runs.jsonl --gpus 4 --phase 1:2 --phase 2:3 --phase 4:4
    PYTHONPATH=. python3 -m e2e.recordings.layouts --out dry.jsonl --gpus 4 --phase 4:9 --tiny     # CPUs, no GPU

A phase is GPUs a case and minutes: all GPUs are kept busy, two cases on two GPUs each run side by side. The ranks of a
lane take one case after the other; one that fails (it does not fit) or hangs is a line with `error`, and the lane goes
on with new processes, since ranks that are left behind wait for ever.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from e2e.recordings import ranks
from e2e.recordings.kernels import profiled
from e2e.recordings.layout_cases import CASES, Case, tiny

SECONDS_A_CASE: Final = 20.0
LONGEST: Final = 75.0
"""Seconds after which a case counts as hanging."""
LEAST_STEPS: Final = 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--gpus", type=int, default=4)
    parser.add_argument("--phase", action="append", default=[], help="GPUs a case:minutes")
    parser.add_argument("--only", default="", help="cases whose name holds one of these, with commas between")
    parser.add_argument("--skip", default="", help="and none of these")
    parser.add_argument("--tiny", action="store_true", help="small models on CPUs")
    parser.add_argument("--cases", default="", help="of a rank, which its lane starts")
    parser.add_argument("--seconds", type=float, default=0.0, help="that a rank has")
    arguments = parser.parse_args()
    if arguments.cases:
        _ranked(arguments)
        return
    for phase in arguments.phase:
        size, minutes = phase.split(":")
        _phase(arguments, int(size), time.monotonic() + float(minutes) * 60.0)


def _wanted(arguments: Any, size: int) -> list[str]:
    def among(name: str, parts: str) -> bool:
        return any(part in name for part in parts.split(","))

    named = [name for name, case in CASES.items() if case.gpus == size and among(name, arguments.only)]
    return [name for name in named if not (arguments.skip and among(name, arguments.skip))]


def _phase(arguments: Any, size: int, end: float) -> None:
    """All lanes at once, each with every n-th case."""
    told = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(str(i) for i in range(arguments.gpus))
    devices, wanted = told.split(",")[: arguments.gpus], _wanted(arguments, size)
    count = len(devices) // size
    lanes = [
        threading.Thread(target=_lane, args=(arguments, devices[i * size : (i + 1) * size], wanted[i::count], end))
        for i in range(count)
    ]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()


def _lane(arguments: Any, devices: Sequence[str], cases: Sequence[str], end: float) -> None:
    left = list(cases)
    part = Path(f"{arguments.out}.{'-'.join(devices)}")
    while left and time.monotonic() < end - SECONDS_A_CASE:
        before = len(_scenarios(part))
        over = _turn(arguments, devices, left, end, part)
        done = _scenarios(part)[before:]
        left = [name for name in left if name not in done]
        if over:
            break
        if left and not done:
            _add(part, {"scenario": left.pop(0), "error": "ended without a word"})
    with Path(arguments.out).open("a") as out:
        out.write(part.read_text() if part.exists() else "")
    part.unlink(missing_ok=True)


def _turn(arguments: Any, devices: Sequence[str], left: Sequence[str], end: float, part: Path) -> bool:
    """Whether the ranks ended by themselves: nothing failed."""
    command = [sys.executable, "-m", "e2e.recordings.layouts", "--out", str(part), "--cases", ",".join(left)]
    command += ["--seconds", str(end - time.monotonic()), *(["--tiny"] if arguments.tiny else [])]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    started = [
        subprocess.Popen(
            command,
            env={
                **os.environ, "CUDA_VISIBLE_DEVICES": ",".join(devices), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port, "RANK": str(i), "LOCAL_RANK": str(i), "WORLD_SIZE": str(len(devices)),
                "OMP_NUM_THREADS": "1" if arguments.tiny else "4",
            },
        )
        for i in range(len(devices))
    ]  # fmt: skip
    while any(each.poll() is None for each in started) and time.monotonic() < end + LONGEST:
        if any(each.poll() not in (None, 0) for each in started):
            break
        time.sleep(0.1)
    well = all(each.poll() == 0 for each in started)
    for each in started:
        each.kill()
        each.wait()
    return well


def _scenarios(part: Path) -> list[str]:
    return [json.loads(line)["scenario"] for line in part.read_text().splitlines()] if part.exists() else []


def _add(part: Path, line: dict[str, Any]) -> None:
    with part.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def _ranked(arguments: Any) -> None:
    """What one rank does: its lane's cases, until one fails."""
    import torch.distributed as dist

    end = time.monotonic() + arguments.seconds
    cases = [CASES[name] for name in arguments.cases.split(",")]
    cases = [tiny(case) if arguments.tiny else case for case in cases]
    ranks.join()
    ranks.record(
        cases, lambda case: _watched(case, arguments.out), out=arguments.out, end=end, seconds_a_run=SECONDS_A_CASE
    )
    dist.barrier()
    os._exit(0)


def _watched(case: Case, out: str) -> dict[str, Any]:
    """Ends the process where the case fails on this rank or hangs."""

    def fail(why: str) -> None:
        _add(Path(out), {"scenario": case.scenario, "error": why, "rank": int(os.environ["RANK"])})
        os._exit(4)

    watch = threading.Timer(LONGEST, fail, [f"took more than {LONGEST:.0f} s"])
    watch.daemon = True
    watch.start()
    try:
        return _trained(case)
    except Exception as error:
        if case.gpus == 1:
            raise
        fail(repr(error)[:300])
        raise
    finally:
        watch.cancel()


def _trained(case: Case) -> dict[str, Any]:
    import torch

    from e2e.recordings.layout_programs import step_of

    torch.manual_seed(0)
    step = step_of(case)
    ranks.let_go()  # weights are made whole before they are cut
    on_gpu = ranks.device().type == "cuda"
    found = ranks.timed(step, least_steps=LEAST_STEPS, least_seconds=2.0, most_seconds=14.0 if on_gpu else 1.0, every=5)
    line = {
        **asdict(case), **case.declared(), "truth": "none", "kind": "train", "optim": "adamw_torch_fused",
        "link": "nvlink" if case.gpus > 1 else "", **ranks.measured(found), "each_s": found.each,
    }  # fmt: skip
    if on_gpu:
        line["kernels"] = profiled(step, times=2)
    return line


if __name__ == "__main__":
    main()

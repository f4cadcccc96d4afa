"""Programs alone and in pairs on one GPU, time-sliced and under MPS: what each keeps of its own rate beside another.

    PYTHONPATH=. python3 -m e2e.recordings.share --out pairs.jsonl --mode mps   # needs PyTorch and an NVIDIA GPU

Two workers build whatever program their turn asks for (`share_programs.py`), so that nothing is imported or started
while a pair runs. A line holds `mode` (alone, time-sliced, mps), `spec`, `result` (steps, rate, latencies), `series`
(readings every half second) and, for pairs, `share_of_alone` without MPS; lines of programs alone hold `client` (mps
where it was alone under MPS), and lines of mode `profile` the kernels of a step and how long they take. The rate counts
steps that end within one window, while both go on before and after it. Nothing of the GPU's settings is changed; the
MPS daemon is ended.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any, Final

from e2e.recordings.gpm_sampler import Sampler
from e2e.recordings.share_pairs import PACED_UNLIKE, REPEATED, REPEATED_BESIDE, UNLIKE, paced_pairs, pairs
from e2e.recordings.share_programs import PROGRAMS, Step, build

WARM_UP_STEPS: Final = 4
PROFILED_STEPS: Final = 2
KEPT_BUILT: Final = 3
"""Programs that a worker keeps built; fewer where they take more than KEPT_BYTES."""
KEPT_BYTES: Final = 6e9
LEAD_SECONDS: Final = 0.25
"""Both run so long before and after the window that counts."""
LEAST_STEPS: Final = 10
MOST_SECONDS: Final = 6.0
SAMPLE_SECONDS: Final = 0.5


def worker() -> None:
    """Reads `build SPEC`, `run START SECONDS UNTIL` and `profile` line by line, and answers each with one line."""
    import torch

    built: OrderedDict[str, tuple[Step, float]] = OrderedDict()
    step, asleep = build("gaps 1 8 1 8 0 0", torch)
    print("imported", flush=True)
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "build":
            step, asleep = _built(rest, built, torch)
            print("built", flush=True)
        elif word == "profile":
            print(json.dumps(_profile(step, torch)), flush=True)
        else:
            start, seconds, until = (float(each) for each in rest.split())
            print(json.dumps(_run(step, asleep, start, seconds, until, torch)), flush=True)


def _built(spec: str, built: OrderedDict[str, tuple[Step, float]], torch: Any) -> tuple[Step, float]:
    if spec not in built:
        while built and (len(built) >= KEPT_BUILT or torch.cuda.memory_allocated() > KEPT_BYTES):
            built.popitem(last=False)
        torch.cuda.empty_cache()
        built[spec] = build(spec, torch)
        for _ in range(WARM_UP_STEPS):
            built[spec][0]()
        torch.cuda.synchronize()
    built.move_to_end(spec)
    return built[spec]


def _run(step: Step, asleep: float, start: float, seconds: float, until: float, torch: Any) -> dict[str, Any]:
    """Steps that end between `start` and `start + seconds`; goes on until `until` (all on the monotonic clock)."""
    ended: list[float] = []
    while time.monotonic() < until:
        if asleep:
            time.sleep(asleep)
        step()
        torch.cuda.synchronize()
        ended.append(time.monotonic())
    counted = [each for each in ended if start <= each <= start + seconds]
    taken = sorted(after - before for before, after in pairwise(counted))
    whole = counted[-1] - counted[0]
    return {
        "steps": len(taken),
        "seconds": whole,
        "rate": len(taken) / whole,
        "p50": taken[len(taken) // 2],
        "p99": taken[int(len(taken) * 0.99)],
        "mem": torch.cuda.memory_allocated(),
    }


def _profile(step: Step, torch: Any) -> dict[str, float]:
    """Kernels a step, the seconds that they take, their time-weighted mean, and of the time the share by full grids."""
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as seen:
        for _ in range(PROFILED_STEPS):
            step()
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        seen.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(folder, "trace.json").read_text())["traceEvents"]
    found = [each for each in events if each.get("cat") in ("kernel", "gpu_memset", "gpu_memcpy")]
    lengths = [each["dur"] * 1e-6 for each in found]
    waves = [float(each.get("args", {}).get("blocks per SM") or 0.0) for each in found]
    whole = sum(lengths)
    return {
        "kernels": len(found) / PROFILED_STEPS,
        "kernel_seconds": whole / PROFILED_STEPS,
        "weighted_kernel_seconds": sum(each * each for each in lengths) / whole,
        "blocks_per_sm": sum(a * b for a, b in zip(waves, lengths, strict=True)) / whole,
        "under_one_block_share": sum(b for a, b in zip(waves, lengths, strict=True) if a < 1.0) / whole,
    }


class Workers:
    """Two processes, both clients of the MPS daemon or neither."""

    def __init__(self, mode: str, pipe: str) -> None:
        env = dict(os.environ) | ({"CUDA_MPS_PIPE_DIRECTORY": pipe} if mode == "mps" else {})
        command = [sys.executable, "-m", "e2e.recordings.share", "--worker"]
        self.processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
            for _ in range(2)
        ]
        for each in self.processes:
            self._heard(each, "imported")

    def measure(self, names: tuple[str, ...], seconds: float, worker: int = 0) -> list[dict[str, Any]]:
        chosen = self.processes[worker : worker + len(names)]
        for process, name in zip(chosen, names, strict=True):
            self._build(process, name)
        start = time.monotonic() + LEAD_SECONDS
        for process in chosen:
            self._say(process, f"run {start} {seconds} {start + seconds + LEAD_SECONDS}")
        return [json.loads(self._line(process)) for process in chosen]

    def profile(self, name: str) -> dict[str, float]:
        self._build(self.processes[0], name)
        self._say(self.processes[0], "profile")
        found: dict[str, float] = json.loads(self._line(self.processes[0]))
        return found

    def end(self) -> None:
        for each in self.processes:
            each.kill()
            each.wait()

    def _build(self, process: subprocess.Popen[str], name: str) -> None:
        self._say(process, f"build {PROGRAMS[name]}")
        self._heard(process, "built")

    def _heard(self, process: subprocess.Popen[str], word: str) -> None:
        if (said := self._line(process)) != word:
            raise RuntimeError(f"{said or 'ended'} instead of {word}")

    @staticmethod
    def _line(process: subprocess.Popen[str]) -> str:
        return process.stdout.readline().strip() if process.stdout else ""

    @staticmethod
    def _say(process: subprocess.Popen[str], word: str) -> None:
        if process.stdin:
            process.stdin.write(word + "\n")
            process.stdin.flush()


class Recorder:
    """Writes each row as soon as it is measured; what fails costs two fresh workers and its own row."""

    def __init__(self, seconds: float, pipe: str, out: Any) -> None:
        self.seconds, self.pipe, self.out = seconds, pipe, out
        self.sampler = Sampler()
        self.client = "time-sliced"
        self.workers = Workers(self.client, pipe)
        self.alone: dict[str, float] = {}

    def restart(self, client: str) -> None:
        self.workers.end()
        self.client, self.workers = client, Workers(client, self.pipe)

    def row(self, names: tuple[str, ...], worker: int = 0) -> None:
        if len(names) > 1 and not self.alone.keys() >= set(names):
            return
        try:
            row = self._measured(names, worker)
        except (RuntimeError, ValueError, KeyError, IndexError, ZeroDivisionError, OSError) as error:
            print("failed:", names, repr(error), flush=True)
            self.restart(self.client)
            return
        self.out.write(json.dumps(row) + "\n")
        self.out.flush()
        shown = row.get("share_of_alone", [row["result"][0]["rate"]])
        print(row["mode"], *names, *(round(each, 3) for each in shown), flush=True)

    def profiled(self, name: str) -> None:
        """Its own row, at the end: a profiler that has run may slow launches down."""
        try:
            seen = self.workers.profile(name)
        except (RuntimeError, ValueError) as error:
            print("failed:", name, repr(error), flush=True)
            self.restart(self.client)
            return
        row = {"mode": "profile", "programs": [name], "spec": [PROGRAMS[name]], "profile": seen}
        self.out.write(json.dumps(row) + "\n")
        print(name, seen, flush=True)

    def _measured(self, names: tuple[str, ...], worker: int) -> dict[str, Any]:
        stop, rows = threading.Event(), list[dict[str, Any]]()
        watching = threading.Thread(target=self.sampler.during, args=(stop, rows, SAMPLE_SECONDS))
        watching.start()
        try:
            results = self.workers.measure(names, self._window(names), worker)
        finally:
            stop.set()
            watching.join()
        mode = self.client if len(names) > 1 else "alone"
        specs = [PROGRAMS[each] for each in names]
        row = {"gpu": self.sampler.name, "mode": mode, "programs": list(names), "spec": specs}
        row |= {"result": results, "series": rows}
        rates = [each["rate"] for each in results]
        if mode == "alone":
            self.alone[names[0]] = rates[0]
            return row | {"client": self.client, "worker": worker}
        return row | {"share_of_alone": [rate / self.alone[name] for rate, name in zip(rates, names, strict=True)]}

    def _window(self, names: tuple[str, ...]) -> float:
        slowest = min((self.alone.get(each, 3.0) for each in names), default=3.0)
        return min(MOST_SECONDS, max(self.seconds, LEAST_STEPS * (1 if len(names) == 1 else 2) / slowest))


def record(out: Path, *, mode: str, minutes: float, seconds: float) -> None:
    """Programs alone without MPS, the pairs, then under MPS alone again, or else their kernels."""
    ends = time.time() + minutes * 60
    used = {name for pair in pairs() for name in pair}
    alone = [(name,) for name in PROGRAMS if name in used]
    with _recorder(out, seconds) as recorder:
        _until(ends, recorder, alone)
        recorder.restart(mode)
        _until(ends, recorder, [*pairs(), *(alone if mode == "mps" else [])])
        for name in recorder.alone if mode != "mps" else ():
            recorder.profiled(name)


def record_adjacent(out: Path, *, mode: str, minutes: float, seconds: float) -> None:
    """Programs that their hosts pace: each pair right after both alone, as its mode has them, for hosts drift."""
    ends = time.time() + minutes * 60
    with _recorder(out, seconds) as recorder:
        recorder.restart(mode)
        for first, second in paced_pairs():
            _until(ends, recorder, [(first,), (second,), (first, second)])


def record_repeated(out: Path, *, minutes: float, seconds: float) -> None:
    """One program that its host paces: alone in both workers, then beside each of some, alone again before each.

    Every round has fresh workers, in the other mode than the last: what differs between rounds of one mode is the host.
    """
    ends = time.time() + minutes * 60
    with _recorder(out, seconds) as recorder:
        for name in REPEATED_BESIDE:
            _until(ends, recorder, [(name,)])
        for mode in cycle(("mps", "time-sliced")):
            recorder.restart(mode)
            recorder.row((REPEATED,), 1)
            for name in REPEATED_BESIDE:
                if time.time() > ends:
                    return
                recorder.row((REPEATED,))
                recorder.row((REPEATED, name))


def record_unlike(out: Path, *, minutes: float, seconds: float) -> None:
    """Pairs that no other recording has, in both modes, each for half of the time that is left; then their kernels."""
    ends = time.time() + minutes * 60
    names = dict.fromkeys(name for pair in UNLIKE for name in pair)
    with _recorder(out, seconds) as recorder:
        _until(ends, recorder, [(name,) for name in names])
        for mode, part in (("time-sliced", 0.5), ("mps", 0.9)):
            recorder.restart(mode)
            until = time.time() + part * (ends - time.time())
            _until(until, recorder, [*((name,) for name in PACED_UNLIKE), *UNLIKE])
        recorder.restart("time-sliced")
        for name in recorder.alone:
            if time.time() < ends:
                recorder.profiled(name)


@contextmanager
def _recorder(out: Path, seconds: float) -> Iterator[Recorder]:
    with tempfile.TemporaryDirectory() as pipe, out.open("w") as file:
        _daemon(pipe, ["-d"], None)
        recorder = Recorder(seconds, pipe, file)
        try:
            yield recorder
        finally:
            recorder.workers.end()
            _daemon(pipe, [], "quit\n")


def _until(ends: float, recorder: Recorder, turns: Sequence[tuple[str, ...]]) -> None:
    for names in turns:
        if time.time() > ends:
            print("time is up before", *names, flush=True)
            return
        recorder.row(names)


def _daemon(pipe: str, options: Sequence[str], said: str | None) -> None:
    env = dict(os.environ, CUDA_MPS_PIPE_DIRECTORY=pipe, CUDA_MPS_LOG_DIRECTORY=pipe)
    subprocess.run(["nvidia-cuda-mps-control", *options], input=said, text=True, env=env, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--mode", choices=("time-sliced", "mps"), default="time-sliced")
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--adjacent", action="store_true", help="host-paced pairs, alone again before each")
    parser.add_argument("--repeated", action="store_true", help="one host-paced program in both modes, again and again")
    parser.add_argument("--unlike", action="store_true", help="pairs that no other recording has, in both modes")
    parser.add_argument("--worker", action="store_true", help="run as one of the two workers")
    args = parser.parse_args()
    if args.worker:
        worker()
    elif args.out and args.repeated:
        record_repeated(args.out, minutes=args.minutes, seconds=args.seconds)
    elif args.out and args.unlike:
        record_unlike(args.out, minutes=args.minutes, seconds=args.seconds)
    elif args.out:
        chosen = record_adjacent if args.adjacent else record
        chosen(args.out, mode=args.mode, minutes=args.minutes, seconds=args.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())

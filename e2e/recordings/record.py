"""Record the node agent and `mfu.report` beside real training on this machine's first GPU, one JSON line a run.

    PYTHONPATH=operator:. python3 -m e2e.recordings.record --out h100.jsonl          # some six minutes on a GPU
    PYTHONPATH=operator:. python3 -m e2e.recordings.record --out /tmp/dry.jsonl --dry-run   # fake NVML, NumPy, no GPU

Each line has the format of the shared H200 traces (README.md beside this file): the counted truth, and `series`, here
read back from the agent's own exposition; beside it `progress`, what a scrape of the reporter gave.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from e2e.recordings.shape import Shape
from mfu.hardware.catalog import device_peak, load
from mfu.hardware.types import Precision, Unmatched
from mfu.observe.readings import GPURound, Metric
from mfu.telemetry.agent.adapter import read_once
from mfu.telemetry.recorded import GPM, NVML

AGENT_PORT: Final = 19401
REPORT_PORT: Final = 19400
POLL_SECONDS: Final = 0.5
SHAPES: Final = {
    "H100-SXM5": Shape(layers=16, hidden=2560, heads=20, ffn=10240, vocab=50304, micro_batch=8, seq_len=2048),
    "H200-SXM": Shape(layers=20, hidden=3072, heads=24, ffn=12288, vocab=50304, micro_batch=8, seq_len=2048),
}
DRY: Final = Shape(layers=2, hidden=64, heads=2, ffn=256, vocab=512, micro_batch=1, seq_len=64)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run: `wait_share` is the part of a step's own time that the loop waits for data before each step."""

    name: str
    truth: str
    wait_share: float = 0.0
    recompute: bool = False
    small: bool = False

    def shape(self, healthy: Shape) -> Shape:
        return replace(healthy, micro_batch=1, seq_len=healthy.seq_len // 8) if self.small else healthy


SCENARIOS: Final = (
    Scenario("healthy", "none"),
    Scenario("starved", "data-starvation", wait_share=0.8),
    Scenario("recompute", "recompute", recompute=True),
    Scenario("small-batch", "small-batch", small=True),
)


def get(port: int) -> bytes | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as response:
            body: bytes = response.read()
            return body
    except OSError:
        return None


@contextmanager
def agent(environment: dict[str, str]) -> Iterator[int]:
    """`mfu agent` at 1 s, its gauges unaveraged; gives its process id."""
    command = [sys.executable, "-m", "mfu", "agent", "--no-gpunode", "--pod-resources", "", "--node", "recorded"]
    command += ["--port", str(AGENT_PORT), "--window", "0.5", "--log-level", "warning"]
    with subprocess.Popen(command, env=environment) as process:
        try:
            deadline = time.monotonic() + 30
            while b"sm_clock" not in (get(AGENT_PORT) or b""):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the agent did not start")
                time.sleep(0.2)
            yield process.pid
        finally:
            process.terminate()


def row(found: GPURound, began_at: float) -> dict[str, Any]:
    """One reading of the first GPU in the names and units of the traces."""
    values = found.values[0]
    gpm = {name: round(float(values[metric]) / factor, 3) for name, (metric, factor) in GPM.items()}
    nvml = {name: round(float(values[metric]) / factor, 3) for name, (metric, factor) in NVML.items()}
    extra = {
        "power_limit_w": Metric.POWER_LIMIT,
        "temperature_c": Metric.TEMPERATURE,
        "energy_j": Metric.ENERGY,
        "pcie_gen": Metric.PCIE_LINK_GEN,
        "pcie_width": Metric.PCIE_LINK_WIDTH,
        "power_violation": Metric.POWER_VIOLATION_RATIO,
        "thermal_violation": Metric.THERMAL_VIOLATION_RATIO,
    }
    more = {name: round(float(values[metric]), 3) for name, metric in extra.items()}
    known = {name: _whole(value) for name, value in (nvml | more).items() if np.isfinite(value)}
    at = round(float(found.observed_at[0]) - began_at, 2)
    return {"t": at, "gpu": 0, "gpm": {name: value for name, value in gpm.items() if np.isfinite(value)}, **known}


def _whole(value: float) -> float:
    return int(value) if value == int(value) else value


def progress_row(body: bytes, at: float) -> dict[str, float]:
    counters = (line.split() for line in body.decode().splitlines())
    return {"t": round(at, 2), **{name: _whole(round(float(value), 4)) for name, value in counters}}


@dataclass(slots=True)
class Tape:
    """What was read during one run, dated by the wall clock."""

    rounds: list[GPURound]
    reports: list[tuple[float, bytes]]

    def poll(self) -> None:
        body = get(AGENT_PORT)
        found = None if body is None else read_once(body, time.time())
        if found is not None and found.devices and not self._seen(found):
            self.rounds.append(found)
        report = get(REPORT_PORT)
        if report is not None and (not self.reports or time.time() - self.reports[-1][0] > 1.5 * POLL_SECONDS):
            self.reports.append((time.time(), report))

    def _seen(self, found: GPURound) -> bool:
        return bool(self.rounds) and float(self.rounds[-1].observed_at[0]) == float(found.observed_at[0])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(scenario: Scenario, shape: Shape, wait: float, options: argparse.Namespace, pid: int) -> dict[str, Any]:
    """One run as a line of the file."""
    command = [sys.executable, "-m", "e2e.recordings.train", "--shape", json.dumps(shape.facts())]
    command += ["--seconds", str(options.seconds), "--wait", f"{wait:.4f}", "--port", str(REPORT_PORT)]
    command += ["--recompute"] * scenario.recompute + ["--backend", "numpy" if options.dry_run else "torch"]
    tape, spent, began = Tape([], []), cpu_seconds(pid), time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            tape.poll()
            time.sleep(POLL_SECONDS)
        output = process.stdout.read() if process.stdout else ""
    if process.returncode != 0:
        raise SystemExit(f"{scenario.name}: the training loop ended with {process.returncode}")
    truth = json.loads(output.splitlines()[-1])
    cost = {
        "cpu_share": round((cpu_seconds(pid) - spent) / (time.monotonic() - began), 5),
        "rss_mib": round(resident_mib(pid), 1),
    }
    return line(scenario, shape, truth, tape) | {"agent": cost}


def line(scenario: Scenario, shape: Shape, truth: dict[str, Any], tape: Tape) -> dict[str, Any]:
    """Counted truth, and the readings whose whole second lies within the timed part."""
    began, ended = truth["began_at"], truth["ended_at"]
    name = tape.rounds[0].devices[0].product_name
    rate = shape.flops_per_step * truth["steps"] / truth["seconds"]
    within = [each for each in tape.rounds if began + 1.1 <= float(each.observed_at[0]) <= ended]
    peak = _peak(name)
    return {
        "scenario": scenario.name,
        "truth": scenario.truth,
        "gpu": name,
        "gpus": 1,
        "precision": "bf16",
        "flops_per_step_per_gpu": shape.flops_per_step,
        "steps": truth["steps"],
        "seconds": truth["seconds"],
        "tflops_per_gpu": rate / 1e12,
        "mfu": None if peak is None else rate / peak,
        "kind": "train",
        **shape.facts(),
        "data_parallel": 1,
        "tokens_per_step": shape.tokens_per_step,
        "reported": {name: float(value) for name, value in truth["reported"].items()},
        "progress": [progress_row(body, at - began) for at, body in tape.reports if began <= at <= ended],
        "series": [row(each, began) for each in within],
    }


def _peak(name: str) -> float | None:
    device = load().resolve(name)
    return None if isinstance(device, Unmatched) else device_peak(device, Precision.BF16)


def idle(seconds: float, pid: int) -> dict[str, Any]:
    """The GPU with nothing to do, and what the agent costs when scraped every 15 s."""
    tape, began_at, spent = Tape([], []), time.time(), cpu_seconds(pid)
    while time.time() - began_at < seconds:
        tape.poll()
        time.sleep(1.0)
    share = (cpu_seconds(pid) - spent) / (time.time() - began_at)
    series = [row(each, began_at) for each in tape.rounds]
    cost = {"cpu_share": round(share, 5), "rss_mib": round(resident_mib(pid), 1)}
    name = tape.rounds[0].devices[0].product_name
    return {
        "scenario": "idle",
        "truth": "idle",
        "gpu": name,
        "gpus": 1,
        "kind": "idle",
        "series": series,
        "agent": cost,
    }


def record(options: argparse.Namespace) -> None:
    environment = dict(os.environ)
    if options.dry_run:
        from tests.agent.fake_nvml.build import build

        directory = build(Path(tempfile.mkdtemp()))
        environment |= {"LD_LIBRARY_PATH": str(directory.parent if directory else ""), "FAKE_NVML_GPUS": "1"}
    with agent(environment) as pid, options.out.open("w", encoding="utf-8") as out:
        first = idle(options.idle_seconds, pid)
        _write(out, first)
        product = load().resolve(first["gpu"])
        healthy = DRY if options.dry_run else SHAPES["" if isinstance(product, Unmatched) else product.gpu.api_name]
        step_seconds = 0.0
        for scenario in SCENARIOS:
            found = run(scenario, scenario.shape(healthy), scenario.wait_share * step_seconds, options, pid)
            if scenario.name == "healthy":
                step_seconds = found["seconds"] / found["steps"]
            _write(out, found)


def _write(out: Any, found: dict[str, Any]) -> None:
    out.write(json.dumps(found, separators=(",", ":")) + "\n")
    out.flush()
    short = {name: found.get(name) for name in ("scenario", "steps", "seconds", "mfu", "agent")}
    print(json.dumps(short), f"readings={len(found['series'])}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=70.0, help="timed part of each run")
    parser.add_argument("--idle-seconds", type=float, default=20.0)
    parser.add_argument("--dry-run", action="store_true")
    record(parser.parse_args())
    return 0


if __name__ == "__main__":
    sys.exit(main())

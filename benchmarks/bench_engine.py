"""What one cycle of the operator costs at its largest scale: `python -m benchmarks.bench_engine [--write] [--profile]`.

10,000 ModelWorkloads, 5,000 nodes of 8 GPUs, 40,000 GPU pods with ten minutes of readings each. A cycle is snapshot,
evaluate and diff, in CPU seconds of one process. Each figure is also given as a ratio to a fixed loop of pure Python,
run before it, so that machines can be compared. Exit status 1 when a mean passes its limit.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any, cast

import numpy as np

from benchmarks.measure import Figure, reference_seconds
from mfu.api.workload_status import WorkloadStatus
from mfu.cluster import projection
from mfu.cluster.client import KubeClient
from mfu.cluster.state import ClusterState
from mfu.cluster.writes import wanted as differences
from mfu.controller.interpreter import calm, give_way
from mfu.engine.due import MOST_BEHIND, MOST_JUDGED
from mfu.engine.evaluate import evaluate
from mfu.engine.packed import Packed
from mfu.engine.plan import Handover, Plan
from mfu.observe.readings import (
    METRICS,
    Counter,
    GPUIdentity,
    GPUKey,
    GPURound,
    Metric,
    ProgressReading,
    SourceState,
)
from mfu.predict.types import Corrections
from mfu.telemetry.store.recent import Store

NODES, GPUS_PER_NODE, WORKLOADS, NAMESPACES, CYCLES = 5_000, 8, 10_000, 200, 12
START, INTERVAL, ROUNDS = 1_800_000_000.0, 30.0, 20
REPORT = Path(__file__).with_name("engine.md")
PRODUCT = "NVIDIA-H100-80GB-HBM3"
MIB = 1024 * 1024
READ = {
    Metric.TENSOR_ACTIVE: 0.41,
    Metric.SM_ACTIVE: 0.83,
    Metric.DRAM_ACTIVE: 0.35,
    Metric.POWER: 560.0,
    Metric.TEMPERATURE: 62.0,
}


def spec(number: int) -> tuple[dict[str, Any], int]:
    """A declaration and how many pods of one GPU it runs: 1, 1, 2, 8 and 8 in turn, some hundred settings."""
    variant = number // 5 % 20
    if number % 5 < 3:
        gpus = (1, 1, 2)[number % 5]
        serving = {
            "phase": "Mixed",
            "inputTokens": {"mean": 500 + 100 * variant},
            "outputTokens": {"mean": 300},
            "concurrency": 16 + 4 * variant,
            "parallelism": {"tensor": gpus},
        }
        return declared("Inference", "llama-3.1-8b", gpus, inference=serving), gpus
    cut = {"data": 8} if number % 5 == 3 else {"tensor": 2, "data": 4}
    training = {
        "sequenceLength": 4096,
        "globalBatchSize": 64 + 64 * variant,
        "parallelism": cut,
        "sharding": "ZeRO3",
        "recompute": "Full",
    }
    return declared("Training", "llama-3.1-8b", 8, training=training), 8


def declared(mode: str, preset: str, gpus: int, **rest: Any) -> dict[str, Any]:
    return {
        "mode": mode,
        "model": {"preset": preset},
        "accelerators": {"count": gpus, "products": ["H100-SXM5"]},
        "runtime": {"engine": "vLLM" if mode == "Inference" else "Megatron"},
        "tunable": ["MicroBatch", "Recompute", "Layout"] if mode == "Training" else ["Concurrency"],
        **rest,
    }


def metadata(name: str, namespace: str | None = None, **more: Any) -> dict[str, Any]:
    where = {"namespace": namespace} if namespace else {}
    return {
        "name": name,
        "uid": f"uid-{namespace or ''}-{name}",
        "creationTimestamp": "2026-11-22T00:00:00Z",
        **where,
        **more,
    }


class Cluster:
    """What informers would hold, and telemetry of it."""

    def __init__(self) -> None:
        self.state = ClusterState(cast(KubeClient, None), changed=lambda: None)
        self.store = Store(interval_seconds=INTERVAL)
        self.free = [(node, gpu) for node in range(NODES) for gpu in range(GPUS_PER_NODE)]
        self.devices: list[GPUIdentity] = []
        self.leaders: list[tuple[str, str]] = []
        self._namespaces_and_nodes()
        for number in range(WORKLOADS):
            self._workload(number)
        for informer in self.state.informers:
            informer.version += 1
        self.free.clear()
        self.now = START
        self.identities = tuple(self.devices)
        for _ in range(ROUNDS):
            self.read()

    def _namespaces_and_nodes(self) -> None:
        for number in range(NAMESPACES):
            self.state.namespaces.objects[f"team-{number}"] = {"team": str(number)}
        for number in range(NODES):
            status = {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]}
            item = {"metadata": metadata(f"n{number}", labels={"nvidia.com/gpu.product": PRODUCT}), "status": status}
            view = projection.node_view(item)
            assert view is not None
            self.state.nodes.objects[view.name] = view
        policy = {
            "metadata": metadata("prices"),
            "spec": {"prices": [{"product": "H100-SXM5", "perGPUHour": "2.50"}]},
        }
        self.state.policies.objects["prices"] = projection.policy_view(policy)

    def _workload(self, number: int) -> None:
        namespace, name = f"team-{number % NAMESPACES}", f"w{number}"
        asked, pods = spec(number)
        body = {**asked, "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": name}}
        view = projection.workload_view({"metadata": metadata(name, namespace, generation=1), "spec": body})
        assert view.spec is not None, view.invalid
        self.state.workloads.objects[view.key] = view
        self.leaders.append((namespace, f"{name}-0"))
        for index in range(pods):
            self._pod(namespace, name, index)

    def _pod(self, namespace: str, owner: str, index: int) -> None:
        node, gpu = self.free[len(self.devices)]
        name = f"{owner}-{index}"
        limits = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
        owners = [{"kind": "Job", "name": owner, "uid": "u", "apiVersion": "batch/v1"}]
        item = {
            "metadata": metadata(name, namespace, ownerReferences=owners, labels={"job-name": owner}),
            "spec": {"nodeName": f"n{node}", "containers": [limits]},
            "status": {"phase": "Running", "podIP": "10.0.0.1"},
        }
        view = projection.pod_view(item)
        assert view is not None
        self.state.pods.objects[view.key] = view
        key = GPUKey(f"GPU-{node:05d}-{gpu}")
        self.devices.append(GPUIdentity(key, "NVIDIA H100 80GB HBM3", f"n{node}", str(gpu), None, namespace, name))

    def read(self) -> None:
        """One more round of every device, and of every workload's own counter."""
        self.now += INTERVAL
        count = len(self.identities)
        noise = np.random.default_rng(int(self.now)).normal(1.0, 0.02, count)
        values = np.full((count, METRICS), np.nan)
        for metric, level in READ.items():
            values[:, metric] = level * noise
        values[:, Metric.SM_CLOCK] = 1.755e9
        when = np.full(count, self.now)
        found = GPURound("dcgm-exporter", SourceState.OK, self.identities, when, values, INTERVAL)
        self.store.add_round(found, self.now)
        done = (self.now - START) * 50_000.0
        counters = {Counter.TRAINED_TOKENS: done, Counter.DECODE_TOKENS: done / 50, Counter.PREFILL_TOKENS: done / 5}
        self.store.add_progress(
            ProgressReading(namespace, pod, "progress", self.now, counters, {}, True) for namespace, pod in self.leaders
        )

    def echo(self, plan: Plan) -> None:
        """The watch brings back what was written, as new objects; only where something was."""
        for each in plan.workloads:
            view = self.state.workloads.objects[each.key]
            if view.status != each.status or view.annotations != each.annotations:
                status = Packed(WorkloadStatus, json.loads(json.dumps(each.status.document())))
                self.state.workloads.objects[each.key] = replace(
                    view, status=status, annotations=dict(each.annotations)
                )
        for made in plan.policies:
            known = self.state.policies.objects[made.name]
            self.state.policies.objects[made.name] = replace(known, status=made.status)
        self.state.reports.objects["fleet"] = plan.report


@dataclass(frozen=True)
class Cycle:
    """CPU seconds of the three steps, and how many writes came of them."""

    snapshot: float
    evaluate: float
    diff: float
    writes: int

    @property
    def total(self) -> float:
        return self.snapshot + self.evaluate + self.diff


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    answer = work()
    return time.process_time() - start, answer


def cycle(cluster: Cluster, before: Handover, corrections: Corrections) -> tuple[Cycle, Plan]:
    state, now = cluster.state, cluster.now
    snapshot_seconds, snapshot = timed(lambda: state.snapshot(cluster.store, corrections, now, before))
    evaluate_seconds, plan = timed(lambda: evaluate(snapshot, now))

    def wanted() -> int:
        current = state.current()
        return len(differences(plan, current, snapshot.report))

    diff_seconds, writes = timed(wanted)
    return Cycle(snapshot_seconds, evaluate_seconds, diff_seconds, writes), plan


def cycles(cluster: Cluster, count: int, before: Handover) -> tuple[list[Cycle], Handover]:
    """Consecutive cycles with a round of readings between them, everything written coming back."""
    corrections, samples = Corrections(), []
    for _ in range(count):
        sample, plan = cycle(cluster, before, corrections)
        samples.append(sample)
        before, corrections = plan.handover, plan.corrections
        cluster.echo(plan)
        cluster.read()
    return samples, before


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MIB


def measure(profile: bool) -> list[Figure]:
    cluster = Cluster()
    give_way()
    calm()
    reference = reference_seconds()
    until_all = -(-WORKLOADS // MOST_BEHIND)
    first, before = cycles(cluster, until_all, Handover())
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    steady, before = cycles(cluster, CYCLES, before)
    if profile:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("cumulative").print_stats(45)
    resident = resident_mib()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert all(each.expected and each.assessment for each in before.plans.values())

    def seconds(what: str, samples: list[float], limit: float | None) -> Figure:
        return Figure(what, "s CPU", tuple(samples), limit, reference)

    return [
        seconds("one cycle: snapshot, evaluate, diff", [each.total for each in steady], 1.0),
        seconds("… of it snapshot", [each.snapshot for each in steady], None),
        seconds(f"… of it evaluate ({MOST_JUDGED} judged anew)", [each.evaluate for each in steady], None),
        seconds("… of it diff", [each.diff for each in steady], None),
        seconds("one cycle after a start", [each.total for each in first], None),
        seconds(f"a whole round after a start ({until_all} cycles)", [sum(each.total for each in first)], None),
        Figure("statuses to write in a cycle", "writes", tuple(float(each.writes) for each in steady), None),
        Figure("resident memory of everything", "MiB", (resident,), 512.0),
        Figure("peak memory, building the fleet included", "MiB", (peak,), None),
    ]


def table(figures: list[Figure]) -> str:
    lines = ["| what | unit | limit | mean | spread (sd) | n | × reference loop |", "|---|---|---|---|---|---|---|"]
    for each in figures:
        spread = f"{stdev(each.samples):.3g}" if len(each.samples) > 1 else "–"
        limit = "–" if each.limit is None else f"{each.limit:g}"
        ratio = "–" if each.reference is None else f"{mean(each.samples) / each.reference:.2f}"
        average = mean(each.samples)
        lines.append(
            f"| {each.what} | {each.unit} | {limit} | {average:.4g} | {spread} | {len(each.samples)} | {ratio} |"
        )
    return "\n".join(lines)


def machine() -> str:
    names = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    }
    return (
        f"{', '.join(sorted(names)) or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )


def document(figures: list[Figure]) -> str:
    reference = next(each.reference for each in figures if each.reference)
    rounds = -(-WORKLOADS // MOST_BEHIND)
    return f"""# The cycle at full scale

Written by `python -m benchmarks.bench_engine --write` on {machine()}.
{WORKLOADS:,} ModelWorkloads, {NODES:,} nodes × {GPUS_PER_NODE} GPUs, {NODES * GPUS_PER_NODE:,} GPU pods, ten minutes
of readings at {INTERVAL:.0f} s. CPU seconds of one process.
The reference loop (two million additions in Python) took {reference:.3f} s in the same run.

{table(figures)}

A cycle judges at most {MOST_JUDGED} workloads anew, the changed ones first; the others say what they said, and those
whose readings kept to their level are confirmed. So a fleet of up to {MOST_JUDGED} workloads is judged whole in every
cycle. After a start {MOST_BEHIND} are judged in a cycle, this fleet in {rounds} of them, which follow each other.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {REPORT.name}")
    parser.add_argument("--profile", action="store_true", help="print where the time of steady cycles goes")
    arguments = parser.parse_args()
    figures = measure(arguments.profile)
    print(table(figures))
    if arguments.write:
        REPORT.write_text(document(figures))
    return 0 if all(each.within for each in figures) else 1


if __name__ == "__main__":
    sys.exit(main())

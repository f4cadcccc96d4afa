"""How long the admission handler makes a person wait: `PYTHONPATH=operator:. python -m benchmarks.bench_admission`.

A real API server and `mfu admission` beside it; several hundred declarations, no two alike, one after the other, are
created with dry run once without the handler and once with it. Writes benchmarks/admission.md.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import reference_seconds
from e2e.testbed.cluster.plane import ControlPlane
from mfu.cluster.client import ApiError, KubeClient
from mfu.cluster.connection import connect
from mfu.cluster.resources import MODELWORKLOADS
from tests.controller.admission_server import admission

ROOT: Final = Path(__file__).parents[1]
RESULT: Final = ROOT / "benchmarks" / "admission.md"
LIMIT_SECONDS: Final = 0.3
COUNT: Final = 300
SEED: Final = 20261125


@dataclass(frozen=True)
class Waits:
    """Seconds per request, sorted."""

    seconds: tuple[float, ...]
    refused: int

    def at(self, share: float) -> float:
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def declarations() -> list[dict[str, Any]]:
    """Training and serving of small and large models on several products, fitting or not, and a misspelt name."""
    everything = [*_training(), *_serving()]
    random.Random(SEED).shuffle(everything)
    chosen = everything[:COUNT]
    for number, each in enumerate(chosen):
        each["metadata"] = {"name": f"w{number}", "namespace": "default"}
        if number % 20 == 0:
            each["spec"]["model"]["preset"] = each["spec"]["model"]["preset"].replace("a", "aa", 1)
    return chosen


def _training() -> Iterator[dict[str, Any]]:
    models = ("llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b", "mixtral-8x7b", "qwen2.5-7b")
    products, counts = ("H100-SXM5", "A100-SXM4-80GB", "L40S", "GB200"), (8, 64, 256)
    shardings, modes, micros = ("DDP", "ZeRO1", "ZeRO3"), ("None", "Selective", "Full"), (1, 2)
    for model, product, gpus, sharding, recompute, micro in itertools.product(
        models, products, counts, shardings, modes, micros
    ):
        training = {
            "sequenceLength": 8192,
            "globalBatchSize": 8 * gpus,
            "microBatchSize": micro,
            "parallelism": {"data": gpus},
            "sharding": sharding,
            "recompute": recompute,
        }
        yield _document("Training", model, product, gpus, training=training)


def _serving() -> Iterator[dict[str, Any]]:
    models = ("llama-3.1-8b", "llama-3.1-70b", "llama-3.1-405b")
    for model, product, tensor, concurrency in itertools.product(
        models, ("H100-SXM5", "H200-SXM", "L40S"), (1, 2, 4, 8), (1, 16, 64, 128)
    ):
        inference = {
            "inputTokens": {"mean": 1000},
            "outputTokens": {"mean": 300},
            "concurrency": concurrency,
            "parallelism": {"tensor": tensor},
        }
        yield _document("Inference", model, product, tensor, inference=inference)


def _document(mode: str, model: str, product: str, gpus: int, **block: Any) -> dict[str, Any]:
    spec = {
        "mode": mode,
        "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "a"},
        "model": {"preset": model},
        "accelerators": {"count": gpus, "products": [product]},
        **block,
    }
    return {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "ModelWorkload", "spec": spec}


async def waits(kubeconfig: Path) -> Waits:
    """Each declaration created with dry run, one after the other."""
    seconds, refused = [], 0
    async with KubeClient(connect(kubeconfig)) as client:
        for each in declarations():
            began = time.perf_counter()
            try:
                path = MODELWORKLOADS.path("default")
                await client.request("POST", path, body=each, params={"dryRun": "All"})
            except ApiError as error:
                if "denied the request" not in error.message:
                    raise
                refused += 1
            seconds.append(time.perf_counter() - began)
    return Waits(tuple(sorted(seconds)), refused)


def document(without: Waits, with_handler: Waits, date: str) -> str:
    rows = "\n".join(
        f"| {name} | {len(each.seconds)} | {each.refused} | {each.at(0.5) * 1e3:.0f} | {each.at(0.9) * 1e3:.0f} "
        f"| {each.at(0.99) * 1e3:.0f} | {each.seconds[-1] * 1e3:.0f} |"
        for name, each in (("off", without), ("on", with_handler))
    )
    verdict = "holds" if with_handler.at(0.99) <= LIMIT_SECONDS else "does not hold"
    return f"""# What the admission handler costs at the prompt

`PYTHONPATH=operator:. python -m benchmarks.bench_admission`, {date}: a real API server, etcd and the handler on the
same {os.cpu_count()} cores, Python {platform.python_version()}; two million steps of a plain loop take
{reference_seconds():.3f} s of CPU here. Declarations that are all different, created with dry run one after the other.

| handler | requests | refused | median, ms | 90 %, ms | 99 %, ms | longest, ms |
|---|---|---|---|---|---|---|
{rows}

Limit: 99 % within {LIMIT_SECONDS * 1e3:.0f} ms, which {verdict}.
"""


def main() -> int:
    with (
        tempfile.TemporaryDirectory(prefix="mfu-bench-") as name,
        ControlPlane.start(scheduler=False, controller_manager=False, kwok=False) as plane,
    ):
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        plane.wait_established()
        without = asyncio.run(waits(plane.kubeconfig))
        with admission(plane, Path(name), "default"):
            with_handler = asyncio.run(waits(plane.kubeconfig))
    RESULT.write_text(document(without, with_handler, time.strftime("%Y-%m-%d")))
    print(RESULT.read_text())
    return 0 if with_handler.at(0.99) <= LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())

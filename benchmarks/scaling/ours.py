"""mfu's own rule on the simulator's metrics: it starts from what `mfu predict` says and learns from what it reads."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from benchmarks.scaling.deployment import MOST_REPLICAS, TPOT_LIMIT, TTFT_LIMIT, Metrics
from benchmarks.scaling.engines import CHUNK_TOKENS
from benchmarks.scaling.service_times import MOST_RUNNING
from mfu.api.modelworkload import WorkloadSpec
from mfu.decide.replicas.demand import LoadReading, Typical
from mfu.decide.replicas.law import Law, predicted
from mfu.decide.replicas.memory import ScalingMemory
from mfu.decide.replicas.rule import Terms, size
from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device
from mfu.predict.declared import from_spec
from mfu.predict.types import Inference, Placement

DECLARED: Final = {
    "mode": "Inference",
    "model": {"preset": "llama-3.1-8b"},
    "accelerators": {"count": 1, "products": ["H100-SXM5"]},
    "inference": {
        "inputTokens": {"mean": 1500},
        "outputTokens": {"mean": 150},
        "concurrency": MOST_RUNNING,
        "maxBatchTokens": int(CHUNK_TOKENS),
        "replicas": {"min": 1, "max": MOST_REPLICAS},
        "slo": {"ttftMilliseconds": int(TTFT_LIMIT * 1e3), "tpotMilliseconds": int(TPOT_LIMIT * 1e3)},
    },
    "runtime": {"engine": "vLLM"},
}
"""What a tenant would write: round numbers, the promise, what the engine was started with, and no measured capacity."""


@lru_cache(maxsize=1)
def declared_law() -> Law:
    setup = from_spec(WorkloadSpec.model_validate(DECLARED))
    gpu = load().by_api_name("H100-SXM5")
    assert isinstance(setup, Inference), setup
    assert isinstance(gpu, GPU), gpu
    law = predicted(setup, Placement(Device(gpu), 1))
    assert law is not None
    return law


class Ours:
    """All three are the policy's: `headroom` is tuned as the rivals' settings are."""

    def __init__(self, headroom: float, max_step: float = 1.0, cooldown_seconds: float = 20.0) -> None:
        self._memory = ScalingMemory()
        self._terms = Terms(
            law=declared_law(),
            typical=Typical(1500.0, 150.0),
            low=1,
            high=MOST_REPLICAS,
            max_step=max_step,
            cooldown_seconds=cooldown_seconds,
            headroom=headroom,
            ttft_seconds=TTFT_LIMIT,
            tpot_seconds=TPOT_LIMIT,
            places=float(MOST_RUNNING),
            chunk_tokens=CHUNK_TOKENS,
        )

    def replicas(self, seen: Metrics | None) -> int | None:
        if seen is None:
            return None
        reading = LoadReading(
            at=seen.at,
            ready=seen.ready,
            pending=seen.pending,
            input_tokens_per_s=seen.input_tokens_per_s,
            output_tokens_per_s=seen.output_tokens_per_s,
            running=seen.running,
            waiting=seen.waiting,
            cache_use=seen.cache_use,
        )
        sizing, self._memory = size(self._memory, reading, self._terms)
        return sizing.replicas

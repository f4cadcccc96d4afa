"""Write the generated parts of docs/performance-model.md: the table of constants and the worked numbers.

python -m tools.generate.performance_doc          # after tools.fit.training --write
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device, Precision
from mfu.predict import predict
from mfu.predict.names import MemoryTerm, StepTerm
from mfu.predict.training.arrays import Array, TrainingCase
from mfu.predict.training.case import case_of
from mfu.predict.training.collectives import RankGroup, dispatch_seconds, half_ring_seconds
from mfu.predict.training.communication import data_seconds, layer_communication
from mfu.predict.training.compute import attention, compute, product
from mfu.predict.training.constants import TrainingConstants, document, shipped
from mfu.predict.training.machine import sustained_clock
from mfu.predict.training.optimizer import optimizer_seconds
from mfu.predict.training.peak_memory import layer_activation_bytes, training_memory
from mfu.predict.training.power import held_clock
from mfu.predict.training.stages import stage_layers
from mfu.predict.training.step import host_seconds, step
from mfu.predict.types import Parallelism, Placement, Precisions, Prediction, Recompute, Sharding, Training
from mfu.workload.presets import preset

DOC = Path(__file__).resolve().parents[2] / "docs" / "performance-model.md"
_LLAMA_8B = "llama-3.1-8b"


@dataclass(frozen=True, slots=True)
class Worked:
    """One worked number: what it is, its unit, and the value that the code gives."""

    text: str
    unit: str
    value: float


def job(model: str = _LLAMA_8B, **changes: object) -> Training:
    """Llama-3.1-8B, 8,192 tokens, NeMo, 8 GPUs with ZeRO-1, unless told otherwise."""
    base = Training(
        architecture=preset(model),
        precisions=Precisions(),
        sequence_length=8192,
        global_batch_size=128,
        micro_batch_size=1,
        parallelism=Parallelism(data=8),
        sharding=Sharding.ZERO1,
        engine="NeMo",
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def placement(product_name: str = "H100-SXM5", gpus: int = 8) -> Placement:
    gpu = load().by_api_name(product_name)
    if not isinstance(gpu, GPU):
        raise ValueError(product_name)
    return Placement(Device(gpu), gpus)


def case(setup: Training, where: Placement, c: TrainingConstants) -> TrainingCase:
    found = case_of(setup, where, c)
    if found is None:
        raise ValueError(where.device.label)
    return found


def value(array: Array) -> float:
    return float(np.asarray(array))


def worked() -> dict[str, Worked]:
    """All worked numbers from the code and the shipped constants."""
    c = shipped()
    return {**_kernels(c), **_communication(c), **_schedule(c), **_memory(c), **_whole()}


def _kernels(c: TrainingConstants) -> dict[str, Worked]:
    llama = case(job(), placement(), c)
    work = compute(llama, c)
    up = product(llama.machine, c, (np.asarray(8192.0), np.asarray(28672.0), np.asarray(4096.0)))
    gb300 = sustained_clock(placement("GB300").device, c)
    ideal, forward, _ = attention(llama, c)
    full = replace(llama, layout=replace(llama.layout, recompute=np.asarray(2.0)))
    written = case(job(engine="Megatron-LM-2021", sequence_length=2048), placement("A100-SXM4-80GB"), c)
    return {
        "T1": Worked(
            "gate and up projection of one layer at peak, 8192×4096 by 4096×28672", "ms", 1e3 * value(up.ideal)
        ),
        "T2": Worked("the same at the measured ceiling and the clock that lasts", "ms", 1e3 * value(up.ceiled)),
        "T3": Worked("the same with its shape", "ms", 1e3 * value(up.shaped)),
        "T4": Worked("sustained clock of a GB300 over its short benchmark", "share", gb300),
        "T31": Worked("clock of a B200 at 750 of its 1,000 W", "share", held_clock(placement("B200").device, 750.0, c)),
        "T5": Worked("attention of 32 layers forward, 8,192 tokens, at peak", "ms", 1e3 * value(ideal)),
        "T6": Worked("the same at the attention rate", "ms", 1e3 * value(forward)),
        "T7": Worked(
            "one forward pass with scores written to memory, 2,048 tokens, A100",
            "ms",
            1e3 * value(attention(written, c)[1]),
        ),
        "T8": Worked("memory-bound operators of 32 layers forward", "ms", 1e3 * value(work.forward.elementwise)),
        "T9": Worked("head forward and backward, and the loss", "ms", 1e3 * value(work.head.shaped + work.loss)),
        "T10": Worked(
            "full recomputation of one micro-batch", "ms", 1e3 * value(step(full, c).losses[StepTerm.RECOMPUTE]) / 16
        ),
    }


def _communication(c: TrainingConstants) -> dict[str, Worked]:
    llama = case(job(), placement(), c)
    eight = RankGroup(np.asarray(8.0), np.asarray(8.0))
    sixteen = RankGroup(np.asarray(16.0), np.asarray(8.0))
    gigabyte = np.asarray(1e9)
    experts = RankGroup(np.asarray(32.0), np.asarray(8.0))
    once = np.asarray(8.0), np.asarray(1.0)
    tensor = case(job(parallelism=Parallelism(tensor=8)), placement(), c)
    many = case(job(parallelism=Parallelism(data=64)), placement(gpus=64), c)
    return {
        "T11": Worked(
            "all-gather of 1 GB over 8 GPUs of one node",
            "ms",
            1e3 * value(half_ring_seconds(llama.machine, c, eight, gigabyte)),
        ),
        "T12": Worked(
            "the same over 16 GPUs of two nodes",
            "ms",
            1e3 * value(half_ring_seconds(llama.machine, c, sixteen, gigabyte)),
        ),
        "T13": Worked(
            "dispatch of 64 MB of tokens to 8 experts each over 32 GPUs of four nodes",
            "ms",
            1e3 * value(dispatch_seconds(llama.machine, c, experts, np.asarray(64e6), once)),
        ),
        "T14": Worked(
            "tensor-parallel communication of one micro-batch over 8 GPUs, what overlap leaves",
            "ms",
            1e3 * value(layer_communication(tensor, c, compute(tensor, c)).tensor),
        ),
        "T15": Worked(
            "ZeRO-1 reduction and gathering over 64 GPUs that a 5 s micro-batch window does not hide",
            "ms",
            1e3 * value(data_seconds(many, c, np.asarray(5.0), np.asarray(2.0))),
        ),
    }


def _schedule(c: TrainingConstants) -> dict[str, Worked]:
    piped = case(
        job("llama-3.1-70b", parallelism=Parallelism(4, 4, 2, 2, 1, 5), global_batch_size=256), placement(gpus=64), c
    )
    found = step(piped, c)
    balanced = case(job(engine="nanotron", parallelism=Parallelism(pipeline=2, data=4)), placement(), c)
    cut = stage_layers(balanced, np.asarray(3.6))
    llama = case(job(), placement(), c)
    tiny = case(job(engine="PyTorch", parallelism=Parallelism()), placement(gpus=1), c)
    return {
        "T16": Worked(
            "pipeline bubble of Llama-3.1-70B, 4 stages of 5 chunks, 128 micro-batches",
            "ms",
            1e3 * value(found.losses[StepTerm.PIPELINE_BUBBLE]),
        ),
        "T17": Worked("its vocabulary imbalance", "ms", 1e3 * value(found.losses[StepTerm.VOCABULARY_IMBALANCE])),
        "T18": Worked(
            "layers of the first of 2 stages, 32 layers and a head of 3.6, cut at equal cost",
            "layers",
            value(cut.first),
        ),
        "T19": Worked(
            "optimizer step, 1/8 of the states of 8.03e9 parameters", "ms", 1e3 * value(optimizer_seconds(llama, c))
        ),
        "T20": Worked(
            "host time of one micro-batch of 32 layers in plain PyTorch", "ms", 1e3 * value(host_seconds(tiny, c))
        ),
    }


def _memory(c: TrainingConstants) -> dict[str, Worked]:
    llama = case(job(), placement(), c)
    found = training_memory(llama, c)

    def gib(term: MemoryTerm) -> float:
        return value(found.terms[term]) / 2**30

    return {
        "T21": Worked("weights of Llama-3.1-8B in bf16", "GiB", gib(MemoryTerm.WEIGHTS)),
        "T22": Worked("gradients in bf16", "GiB", gib(MemoryTerm.GRADIENTS)),
        "T23": Worked("AdamW states over 8 ranks", "GiB", gib(MemoryTerm.OPTIMIZER)),
        "T24": Worked("what one layer keeps of 8,192 tokens", "MiB", value(layer_activation_bytes(llama, c)) / 2**20),
        "T25": Worked("logits of 8,192 tokens", "GiB", gib(MemoryTerm.LOGITS)),
        "T26": Worked("all of it per GPU", "GiB", value(found.total) / 2**30),
    }


def _whole() -> dict[str, Worked]:
    """Whole predictions beside the published rate: NVIDIA/dgxc-benchmarking v24.11.1, llama3.1/README_70b.md and 8b."""
    large = predict(
        job("llama-3.1-70b", parallelism=Parallelism(4, 4, 2, 2, 1, 5), global_batch_size=128), placement(gpus=64)
    )
    small = predict(job(parallelism=Parallelism(context=2, data=4)), placement())
    again = predict(job(parallelism=Parallelism(context=2, data=4), recompute=Recompute.FULL), placement())
    eight = predict(job(parallelism=Parallelism(context=2, data=4), precisions=Precisions(Precision.FP8)), placement())
    rates = {
        "T27": (large, "Llama-3.1-70B, 64 H100, BF16, tensor 4, pipeline 4, context 2 (published: 1,107)"),
        "T28": (small, "Llama-3.1-8B, 8 H100, BF16, context 2 (published: 10,256)"),
        "T29": (again, "the same with full recomputation"),
        "T30": (eight, "the same in FP8 without recomputation (published: 13,841)"),
    }
    found = {}
    for name, (prediction, text) in rates.items():
        if not isinstance(prediction, Prediction):
            raise ValueError(str(prediction))
        found[name] = Worked(text, "tokens/s/GPU", prediction.tokens_per_s_per_gpu)
    return found


def number(amount: float) -> str:
    """Four significant digits: `number(33163.4) == "33,160"`, `number(0.02951) == "0.02951"`."""
    rounded = float(f"{amount:.4g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10_000 else f"{rounded:.4g}"


def constants_table() -> str:
    """Every constant with value, unit, meaning and source; tables as `key value` pairs."""
    lines = ["| constant | value | unit | meaning | source |", "|---|---|---|---|---|"]
    for name, entry in document().items():
        amount = entry["value"]
        pairs = amount.items() if isinstance(amount, dict) else ()
        shown = "; ".join(f"{key} {number(float(each))}" for key, each in pairs) or number(float(str(amount)))
        lines.append(f"| `{name}` | {shown} | {entry['unit']} | {entry['meaning']} | {entry['source']} |")
    return "\n".join(lines)


def worked_table() -> str:
    lines = ["| id | what | number |", "|---|---|---|"]
    lines += [f"| {name} | {each.text} | {number(each.value)} {each.unit} |" for name, each in worked().items()]
    return "\n".join(lines)


def _between(text: str, found: re.Match[str]) -> str:
    return found[1] + text + found[2]


def written(text: str) -> str:
    """The document with its generated parts made anew."""
    parts: dict[str, Callable[[], str]] = {"constants": constants_table, "worked": worked_table}
    for name, make in parts.items():
        pattern = rf"(<!-- {name} -->\n).*?(\n<!-- end -->)"
        text = re.sub(pattern, partial(_between, make()), text, flags=re.DOTALL)
    return text


def main() -> int:
    DOC.write_text(written(DOC.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

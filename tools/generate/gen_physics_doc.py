"""docs/physics.md: mechanisms that the model had wrong, what each erred by, and what it says today.

`python -m tools.generate.gen_physics_doc [--check]`. The figures of today are worked out from the rows that the product
ships and from its predictions; those of before were measured when the mechanism was found to be wrong.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from statistics import fmean

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device, Precision
from mfu.predict.fit.tables import read
from mfu.predict.names import StepTerm
from mfu.predict.training.constants import shipped
from mfu.predict.training.layouts import LayoutLimits, cuts
from mfu.predict.training.machine import sustained_clock
from mfu.predict.types import Method, Recompute
from mfu.predict.validate.common import coverage
from mfu.predict.validate.inference import validate as validate_inference
from mfu.predict.validate.sweep import validate_sweep
from mfu.predict.validate.training import validate_training
from tools.generate.generated import publish
from tools.generate.scenario_answers import asked, on, train

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/physics.md"
TABLES = "operator/mfu/predict/fit/data"
LATER = Path(__file__).resolve().parents[2] / "benchmarks/published/later_training.csv"
Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One mechanism: what was wrong, the error then, the figure now, and the command that shows it."""

    letter: str
    wrong: str
    before: str
    now: str
    command: str


@lru_cache(maxsize=8)
def training_errors(table: str) -> tuple[tuple[Row, float], ...]:
    """Predicted over measured, less 1, of each shipped row."""
    rows = read(f"{table}.csv")
    by_id = {row["id"]: row for row in rows}
    return tuple((by_id[scored.id], scored.error) for scored in validate_training(rows).scored)


def spread(errors: Sequence[float]) -> str:
    """`spread([0.1, -0.05]) == "2 rows: mean +2 %, -5 % to +10 %"`."""
    return f"{len(errors)} rows: mean {fmean(errors):+.0%}, {min(errors):+.0%} to {max(errors):+.0%}".replace("%", " %")


def those(table: str, chosen: Callable[[Row], bool]) -> list[float]:
    return [error for row, error in training_errors(table) if chosen(row)]


def shown(table: str, kind: str = "training") -> str:
    return f"mfu validate {kind} {TABLES}/{table}.csv"


@lru_cache(maxsize=1)
def later_errors() -> tuple[tuple[Row, float], ...]:
    """The same of rows that no fit has seen."""
    with LATER.open(newline="", encoding="utf-8") as file:
        by_id = {row["id"]: row for row in csv.DictReader(file)}
    return tuple((by_id[scored.id], scored.error) for scored in validate_training(list(by_id.values())).scored)


def strangers(letter: str, wrong: str, before: str, chosen: Callable[[Row], bool]) -> Mechanism:
    """A mechanism that programs of people show which no fit has seen."""
    errors = [error for row, error in later_errors() if chosen(row)]
    return Mechanism(
        letter, wrong, before, spread(errors), "mfu validate training benchmarks/published/later_training.csv"
    )


def network() -> Iterator[Mechanism]:
    errors = those("published", lambda row: "fms-fsdp" in row["source"])
    yield Mechanism(
        "a", "rings between nodes got 36 % of the adapters", "fms ZeRO-3 -43 %", spread(errors), shown("published")
    )
    errors = [error for table in ("training", "fresh") for error in those(table, lambda row: "235B" in row["model"])]
    yield Mechanism(
        "b, c",
        "expert ranks were not folded over tensor and context; an exchange cost 40 µs a rank",
        "Qwen3-235B -49 to -24 %",
        spread(errors),
        f"{shown('training')} (and fresh.csv)",
    )


def pipelines() -> Iterator[Mechanism]:
    job = train("qwen3-235b-a22b", batch=2048, sequence=4096, tensor=2, pipeline=32, expert=8, data=4)
    found = asked(job, on("H800-SXM5", 256))
    uneven = (
        sum(each.seconds for each in found.waterfall if each.name == StepTerm.VOCABULARY_IMBALANCE) / found.step_seconds
    )
    most = max(each.pipeline for each in cuts(LayoutLimits(512, 8, 126, 128, 0, 8192, 512)))
    yield Mechanism(
        "d",
        "stages that layers do not divide cost what the fullest would; the planner tried none",
        "94 layers on 32 stages 22 %; 126 layers: 2 stages at most",
        f"{uneven:.0%} of the step, as the last stages lack a layer and one has the head; {most} stages".replace(
            "%", " %"
        ),
        "mfu plan",
    )
    rows = read("sweep.csv")
    scored = [each for each in validate_sweep(rows).scored if int(each.keys["pipeline"]) >= 8]
    far = sum(each.error > 1.0 for each in scored)
    yield Mechanism(
        "e",
        "pipelines of eight and more stages",
        "93 rows of the sweep more than +100 % off",
        f"{far} of {len(scored)}, the usual step: stalls are in the ranking and the band, which holds "
        f"{coverage(scored) or 0.0:.0%}".replace("%", " %"),
        shown("sweep", "sweep"),
    )


def terms() -> Iterator[Mechanism]:
    errors = those("published", lambda row: "torchtitan" in row["source"] and row["cp"] not in ("", "1"))
    yield Mechanism("f", "torchtitan's context-parallel ring", "+120 to +140 %", spread(errors), shown("published"))
    errors = those("training", lambda row: "DeepSeek" in row["model"] and "GB200" in row["gpu"])
    yield Mechanism("g", "DeepSeek-V3 on GB200 without CUDA graphs", "+46 to +203 %", spread(errors), shown("training"))


def products() -> Iterator[Mechanism]:
    h20 = load().by_api_name("H20")
    assert isinstance(h20, GPU)
    clock = sustained_clock(Device(h20), shipped())
    amd = those("fresh", lambda row: row["gpu"].startswith("MI"))
    small = those("training", lambda row: row["gpu"].startswith("B200") and row["micro_batch"] == "1")
    yield Mechanism("h", "an H20 lost clock that it has power for", "derated", f"clock x {clock:.2f}", "mfu predict")
    yield Mechanism("h", "AMD got NVIDIA's efficiency", "+67 to +105 %", spread(amd), shown("fresh"))
    yield Mechanism(
        "h", "B200 at micro-batch 1 got a tuned stack's", "+122 to +187 %", spread(small), shown("training")
    )
    l4 = asked(train("llama-3.1-8b", batch=1, sequence=2048, method=Method.LORA, recompute=Recompute.FULL), on("L4"))
    yield Mechanism(
        "i",
        "cards at their power cap (L4) got the rate of a full-power board",
        "80 % of the peak",
        f"LoRA 8B: MFU {l4.mfu:.0%}, band {l4.low:.0%} to {l4.high:.0%}".replace("%", " %"),
        "mfu predict",
    )


def experts_and_memory() -> Iterator[Mechanism]:
    job = train("mixtral-8x7b", batch=512, sequence=4096, engine="Megatron", expert=8, data=64)
    mixtral = asked(job, on("A100-SXM4-80GB", 64))
    yield Mechanism(
        "j",
        "grouped products of large experts too slow",
        "Mixtral -66 to -22 %",
        f"64 A100, EP8: MFU {mixtral.mfu:.0%}; people report 15 to 55".replace("%", " %") + " %",
        "mfu predict",
    )
    errors = full_card()
    yield Mechanism(
        "k",
        "cache where weights nearly fill the card (70B in FP8 on one H100)",
        "+66 %",
        spread(errors),
        "mfu validate inference operator/mfu/predict/inference/data/measured.csv",
    )
    lora = asked(train("llama-3.1-8b", batch=8, sequence=4096, method=Method.LORA), on())
    least = min(each.seconds for each in lora.waterfall) / lora.step_seconds
    yield Mechanism(
        "l",
        "LoRA had a loss below zero",
        "software stack +10.4 %",
        f"least loss {least:.1%}".replace("%", " %"),
        "mfu predict",
    )


def programs() -> Iterator[Mechanism]:
    yield strangers(
        "m",
        "scores written to memory by plain PyTorch moved as little as through Megatron's fused softmax",
        "+79 to +117 %",
        lambda row: (
            row["source"].startswith("rasbt/") and "without flash" in row["notes"] and row["precision"] != "fp32"
        ),
    )
    yield strangers(
        "n",
        "Grace launched kernels as fast as x86, and a GH200's watts were all its GPU's",
        "+12 to +193 %",
        lambda row: row["source"].startswith("baraql/"),
    )
    yield strangers(
        "o",
        "AdamW of torch.optim moved as little as a fused one (GPT of 0.7B on an RTX 3090)",
        "+40 %",
        lambda row: row["id"] == "later-languini-008",
    )
    yield strangers(
        "p",
        "torchtitan's tensor parallelism without FSDP was taken for BF16; it computes in FP32",
        "+912, +740 %",
        lambda row: row["id"] in ("later-adiv-006", "later-adiv-007"),
    )
    lora = train("llama-3.1-70b", batch=1, sequence=2048, method=Method.LORA, recompute=Recompute.FULL)
    narrow = replace(lora, precisions=replace(lora.precisions, weights=Precision.INT4))
    memory = asked(narrow, on("H100-SXM5")).memory
    yield Mechanism(
        "q",
        "weights of four bits under adapters (QLoRA of 70B on one H100) were counted as 16",
        "141 GB, does not fit",
        f"{memory.terms['weights'] / 1e9:.0f} GB, {'fits' if memory.fits else 'does not fit'}",
        "mfu predict",
    )


def full_card() -> list[float]:
    text = (resources.files("mfu.predict.inference") / "data" / "measured.csv").read_text(encoding="utf-8")
    rows = [
        row
        for row in csv.DictReader(text.splitlines())
        if "70B" in row["model"] and row["gpu"].startswith("H100") and row["tp"] == "1"
    ]
    return [each.error for each in validate_inference(rows).scored]


@lru_cache(maxsize=1)
def mechanisms() -> tuple[Mechanism, ...]:
    parts = (network, pipelines, terms, products, experts_and_memory, programs)
    return tuple(each for part in parts for each in part())


def render() -> str:
    lines = [
        "# Mechanisms that were wrong",
        "",
        "Generated by `python -m tools.generate.gen_physics_doc`; a test holds it current, so each change of the model",
        "shows. Rows that the fit has seen, but for m to p: it has not seen those, but they were looked at when the",
        "mechanism was corrected (by count, or from other sources). What it is off by where nobody looked stands in",
        "[performance-model.md](performance-model.md#accuracy). Errors are predicted over measured rate, less 1.",
        "",
        "| | what was wrong | before | now | shown by |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| {m.letter} | {m.wrong} | {m.before} | {m.now} | `{m.command}` |" for m in mechanisms()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(publish(DOCUMENT, render(), sys.argv[1:]))

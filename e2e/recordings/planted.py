"""Runs of the plain Hugging Face Trainer with a planted cause, and the GPU's readings meanwhile, as JSON lines that
`mfu diagnose` and `mfu validate runs` read.

    PYTHONPATH=. python3 e2e/recordings/planted.py --out runs.jsonl --minutes 6 [--unlike] [--gpu 1]

It needs torch, transformers and NVML on one GPU, and starts no run once the minutes are over.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.recordings import trainer
from e2e.recordings.gpm_sampler import Sampler


@dataclass(frozen=True)
class Planted:
    """A run, its cause, and how long the data of one row takes to come (one of two workers brings a whole batch); every
    `burst_rows` rows of a worker come `burst_seconds` later."""

    run: trainer.Run
    truth: str
    row_seconds: float = 0.0
    burst_rows: int = 0
    burst_seconds: float = 0.0


PLANTED = (
    Planted(trainer.Run("tinyllama-healthy", trainer.TINY_LLAMA, "bf16", 8, 2048), "none"),
    Planted(trainer.Run("tinyllama-starved", trainer.TINY_LLAMA, "bf16", 8, 2048), "data-starvation", 0.15),
    # 0.64 s a batch from each of two workers: a batch every 0.32 s, and a step takes 0.34.
    Planted(trainer.Run("tinyllama-hidden-loading", trainer.TINY_LLAMA, "bf16", 8, 2048), "none", 0.08),
    Planted(trainer.Run("llama1b-ckpt", trainer.LLAMA_1B, "bf16", 4, 4096, recompute="full"), "recompute"),
    Planted(trainer.Run("qwen2-1.5b-one", trainer.QWEN2_15B, "bf16", 1, 256), "small-batch"),
    Planted(trainer.Run("tinyllama-written-scores", trainer.TINY_LLAMA, "bf16", 4, 2048, attn="eager"), "memory-bound"),
    Planted(trainer.Run("gpt2m-compiled", trainer.GPT2_MEDIUM, "bf16", 16, 1024, compiled=True), "none"),
    Planted(trainer.Run("pythia1b-amp", trainer.PYTHIA_1B, "fp32", 4, 2048), "none"),
    Planted(trainer.Run("phi2-ckpt", trainer.PHI_2, "bf16", 8, 2048, recompute="full", optim="adafactor"), "recompute"),
)
BERT_LARGE = {
    "model_type": "bert", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "vocab_size": 30522, "max_position_embeddings": 512,
}  # fmt: skip
VIT_LARGE = {
    "model_type": "vit", "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "image_size": 224, "patch_size": 16, "num_channels": 3,
}  # fmt: skip
SMOL_LLAMA = trainer.LLAMA_1B | {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "vocab_size": 49152,
}  # fmt: skip
UNLIKE = (
    Planted(trainer.Run("mixtral-small-healthy", trainer.MISTRAL_SMALL_MOE, "bf16", 8, 2048), "none"),
    Planted(trainer.Run("smol-starved", SMOL_LLAMA, "bf16", 16, 1024), "data-starvation", 0.12),
    Planted(trainer.Run("bert-large-healthy", BERT_LARGE, "bf16", 32, 512), "none"),
    Planted(trainer.Run("vit-large-healthy", VIT_LARGE, "bf16", 96, 197), "none"),
    Planted(trainer.Run("smol-one", SMOL_LLAMA, "bf16", 1, 256), "small-batch"),
    Planted(trainer.Run("qwen06-bursts", trainer.QWEN_06B, "bf16", 8, 2048), "data-starvation", 0.0, 64, 3.5),
    Planted(trainer.Run("gpt2m-written-scores", trainer.GPT2_MEDIUM, "bf16", 8, 1024, attn="eager"), "memory-bound"),
    Planted(trainer.Run("stablelm-ckpt", trainer.STABLELM_16B, "bf16", 4, 4096, recompute="full"), "recompute"),
    Planted(trainer.Run("olmo2-fp32", trainer.OLMO2_1B, "fp32", 2, 1024, precision="fp32"), "precision"),
    Planted(trainer.Run("qwen06-saves", trainer.QWEN_06B, "bf16", 8, 2048, save_steps=10), "data-starvation"),
    Planted(trainer.Run("llama1b-tf32", trainer.LLAMA_1B, "fp32", 2, 2048, precision="tf32"), "precision"),
    Planted(trainer.Run("bert-large-ckpt", BERT_LARGE, "fp32", 32, 512, recompute="full"), "recompute"),
)
"""Kinds, sizes and causes that no earlier recording has; labels fixed before. A save is a wait for storage."""
TIMED_SECONDS = 12.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--unlike", action="store_true", help="kinds, sizes and causes that no earlier recording has")
    parser.add_argument("--gpu", type=int, default=0, help="index of the GPU by NVML")
    parser.add_argument("--timed", type=float, default=TIMED_SECONDS)
    arguments = parser.parse_args()
    end, sampler = time.monotonic() + 60.0 * arguments.minutes, Sampler((arguments.gpu,))
    trainer.LEAST_SECONDS = arguments.timed
    for planted in UNLIKE if arguments.unlike else PLANTED:
        if time.monotonic() > end - 20.0:
            break
        line = recorded(planted, sampler)
        with arguments.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(
            {name: value for name, value in line.items() if name in ("scenario", "step_s", "peak_gib", "error")},
            flush=True,
        )
        trainer._let_go()


def recorded(planted: Planted, sampler: Sampler) -> dict[str, Any]:
    """One line: the run and the readings between its first and last timed step."""
    clock, plain = trainer._clock(), trainer._data
    rows: list[dict[str, Any]] = []
    stop = threading.Event()

    def watch() -> None:
        while not clock.begin and not stop.wait(0.02):
            pass
        sampler.during(stop, rows)

    make = trainer._clock
    trainer._clock = lambda: clock
    trainer._data = lambda *asked: _slow(plain(*asked), planted)
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        line = trainer._trained(planted.run, 1)
    except Exception as error:  # a run that fails is a result too
        line = {"scenario": planted.run.scenario, "error": repr(error)[:300]}
    finally:
        stop.set()
        watching.join()
        trainer._clock, trainer._data = make, plain
    within = [row for row in rows if row["t"] <= clock.seconds]
    told = {name: getattr(planted, name) for name in ("truth", "row_seconds", "burst_rows", "burst_seconds")}
    return {**line, **told, "link": "", "series": within}


def _slow(rows: Any, planted: Planted) -> Any:
    """The same rows, each so late; each worker counts its own."""
    get, given = type(rows).__getitem__, 0

    def late(self: Any, index: int) -> dict[str, Any]:
        nonlocal given
        given += 1
        burst = planted.burst_rows and given % planted.burst_rows == 0
        time.sleep(planted.row_seconds + (planted.burst_seconds if burst else 0.0))
        found: dict[str, Any] = get(self, index)
        return found

    type(rows).__getitem__ = late
    return rows


if __name__ == "__main__":
    main()

"""Runs of the plain Hugging Face Trainer with a planted cause, and the GPU's readings meanwhile, as JSON lines that
`mfu diagnose` and `mfu validate runs` read.

    PYTHONPATH=. python3 e2e/recordings/planted.py --out runs.jsonl --minutes 6

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
    """A run, its cause, and how long the data of one row takes to come (one of two workers brings a whole batch)."""

    run: trainer.Run
    truth: str
    row_seconds: float = 0.0


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
TIMED_SECONDS = 12.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.0)
    arguments = parser.parse_args()
    end, sampler = time.monotonic() + 60.0 * arguments.minutes, Sampler()
    trainer.LEAST_SECONDS = TIMED_SECONDS
    for planted in PLANTED:
        if time.monotonic() > end - 30.0:
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
    clock, plain = trainer._clock(), trainer._tokens
    rows: list[dict[str, Any]] = []
    stop = threading.Event()

    def watch() -> None:
        while not clock.begin and not stop.wait(0.02):
            pass
        sampler.during(stop, rows)

    make = trainer._clock
    trainer._clock = lambda: clock
    trainer._tokens = lambda vocab, length: _slow(plain(vocab, length), planted.row_seconds)
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        line = trainer._trained(planted.run, 1)
    except Exception as error:  # a run that fails is a result too
        line = {"scenario": planted.run.scenario, "error": repr(error)[:300]}
    finally:
        stop.set()
        watching.join()
        trainer._clock, trainer._tokens = make, plain
    within = [row for row in rows if row["t"] <= clock.seconds]
    return {**line, "truth": planted.truth, "link": "", "row_seconds": planted.row_seconds, "series": within}


def _slow(rows: Any, seconds: float) -> Any:
    """The same rows, each so late."""
    get = type(rows).__getitem__

    def late(self: Any, index: int) -> dict[str, Any]:
        time.sleep(seconds)
        found: dict[str, Any] = get(self, index)
        return found

    type(rows).__getitem__ = late
    return rows


if __name__ == "__main__":
    main()

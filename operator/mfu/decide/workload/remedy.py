"""What would make a workload fit that does not: searched with the model, and predicted again before it is said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from mfu.hardware.products import usual_node_gpus
from mfu.predict.plan import Choice, Nothing, Option, best_on
from mfu.predict.serving_plan import best_serving
from mfu.predict.types import Placement, Setup, Training
from mfu.sentence import Sentence, amount, sentence
from mfu.units import gibibytes

MOST_TIMES: Final = 64
"""Up to this many times the declared GPUs are looked at."""


@dataclass(frozen=True, slots=True)
class Cure:
    """A setting that fits by the same model."""

    setup: Setup
    gpus: int
    same_gpus: bool
    layout: str
    needed_bytes: float
    """Per GPU, predicted."""

    @property
    def words(self) -> Sentence:
        where = f"on the same {self.gpus} GPUs" if self.same_gpus else f"from {self.gpus} GPUs"
        needed = amount(self.needed_bytes, gibibytes(self.needed_bytes))
        return sentence("fits {} with {} ({} per GPU)", where, self.layout, needed)


@lru_cache(maxsize=1024)
def remedy(setup: Setup, placement: Placement) -> Cure | None:
    """The fewest GPUs, doubling from the declared ones, on which any layout fits; None where none does."""
    times = 1
    while times <= MOST_TIMES:
        found = _on(setup, placement, times)
        if found is not None:
            return found
        times *= 2
    return None


def joined_gpus(placement: Placement) -> int:
    """GPUs that exchange activations without leaving NVLink, or their server where that holds more of them.

    Wider than `predict.nearest.nvlinked_gpus`, which advises: what fits a server of PCIe cards alone is to be admitted.
    """
    return max(placement.device.gpu.nvlink_domain_gpus, placement.gpus_per_node)


def _on(setup: Setup, placement: Placement, times: int) -> Cure | None:
    gpus = placement.gpus * times
    together = max(placement.gpus_per_node, usual_node_gpus(placement.device.gpu, gpus))
    where = replace(placement, gpus=gpus, gpus_per_node=min(gpus, together))
    choice = _best(setup, Option(where, setup.precisions.compute), joined_gpus(where))
    if not isinstance(choice, Choice) or choice.setup.parallelism.tensor > joined_gpus(where):
        return None
    return Cure(choice.setup, gpus, times == 1, choice.layout, choice.prediction.memory.total_bytes)


def _best(setup: Setup, option: Option, widest_tensor: int) -> Choice | Nothing:
    if isinstance(setup, Training):
        return best_on(setup, option, widest_tensor=widest_tensor)
    return best_serving(setup, option)

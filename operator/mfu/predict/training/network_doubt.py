"""What is unknown of a training job over several nodes where nobody said how fast the network between them is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from mfu.predict.spread import NORMAL_80
from mfu.predict.training.arrays import TrainingCase
from mfu.predict.training.constants import TrainingConstants
from mfu.predict.training.engines import engine
from mfu.predict.training.step import TrainingStep, step
from mfu.predict.types import Placement, Training

SLOWER: Final = 4.0
"""Between one adapter a GPU and two a node of eight. Of nine clusters of A100 whose rate was published with what ran on
them, two had one adapter of 200 Gbit/s a GPU, three half of that, three a quarter, and one a sixteenth."""


def network_tail(
    setup: Training, placement: Placement, found: tuple[TrainingCase, TrainingStep], c: TrainingConstants, sd: float
) -> float:
    """What the low end of a job's 80 % band has to be multiplied by, because the network may be a quarter of the usual.

    Of what people run on machines of their own: who tunes an engine for a publication has the fabric that the product
    is sold with. Llama 2 7B by FSDP, 2,048 tokens on each of 64 A100: the low end is at exp(-1.28 · 0.15) = 0.83 of the
    expected speed, on a quarter of the network the step takes 1.6 times as long, and both together reach down to
    exp(-hypot(1.28 · 0.15, ln 1.6)) = 0.60; measured 0.66 (yandex/YaFSDP).
    """
    if not is_unsaid(setup, placement, c):
        return 1.0
    case, usual = found
    slower = replace(case, machine=replace(case.machine, network=case.machine.network / SLOWER))
    felt = max(math.log(float(step(slower, c).seconds / usual.seconds)), 0.0)
    return math.exp(NORMAL_80 * sd - math.hypot(NORMAL_80 * sd, felt))


def is_unsaid(setup: Training, placement: Placement, c: TrainingConstants) -> bool:
    """Whether the job spans nodes of which nothing says how they are joined: neither its declaration nor its product,
    which one machine alone may have."""
    known = placement.inter_node_bytes_per_s or placement.device.gpu.api_name in c.tables["network_bytes_per_s"]
    return engine(setup.engine).plain and placement.gpus > placement.gpus_per_node and not known

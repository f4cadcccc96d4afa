"""Jobs whose exchanges may stall: the number is the usual one, and the band reaches to where a stall would bring it."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest

from mfu.predict import predict
from mfu.predict.spread import NORMAL_80, band
from mfu.predict.training.constants import shipped
from mfu.predict.training.risk import STALL_NOTE
from mfu.predict.types import Correction, Corrections, Placement, Prediction, Sharding, Training

Job = Callable[..., Training]
On = Callable[..., Placement]
PIPED = {
    "engine": "nanotron",
    "pipeline": 8,
    "tensor": 2,
    "data": 16,
    "global_batch_size": 256,
    "sequence_length": 4096,
}


def found(job: Job, where: Placement, corrections: Corrections | None = None, **changes: Any) -> Prediction:
    answer = predict(job(**{**PIPED, **changes}), where, corrections)
    assert isinstance(answer, Prediction), answer
    return answer


def test_the_band_of_32_nodes_reaches_to_the_slowest_of_the_jobs_that_stall(job: Job, on: On) -> None:
    """(32 / 64) ** 1.5 = 0.354 of them stall, for 1.1 s in each of 16 micro-batches; a tenth of all is 0.283 of these,
    and 0.283 of a normal distribution lie below -0.575 deviations. The number has (32 / 64) ** 5.3 of the loss."""
    told = found(job, on(gpus=256))
    lost = 16 * shipped()["stall_seconds"] * (1.0 - 0.5 ** shipped()["stall_power"])
    slowest = told.mfu * told.step_seconds / (told.step_seconds + lost) * math.exp(-0.575 * told.doubt.total)
    assert told.low == pytest.approx(slowest, rel=0.02)
    assert told.high == pytest.approx(told.mfu * math.exp(NORMAL_80 * told.doubt.total))
    assert STALL_NOTE in told.notes


@pytest.mark.parametrize("changes", [{"engine": "NeMo"}, {"gpus": 64, "data": 4}])
def test_where_next_to_none_stalls_the_band_is_as_wide_on_both_sides(job: Job, on: On, changes: dict[str, Any]) -> None:
    told = found(job, on(gpus=changes.pop("gpus", 256)), **changes)
    assert (told.low, told.doubt.tail) == (pytest.approx(band(told.mfu, told.doubt.total)[0]), 1.0)
    assert STALL_NOTE not in told.notes


def test_where_nearly_all_stall_the_number_has_the_stall_and_the_band_does_not_count_it_twice(job: Job, on: On) -> None:
    told = found(job, on(gpus=512), data=32)
    assert told.low >= band(told.mfu, told.doubt.total)[0] * 0.999


def test_more_whole_gradients_stall_than_sharded_ones(job: Job, on: On) -> None:
    few = on(gpus=64)
    whole, sharded = (found(job, few, data=4, sharding=each) for each in (Sharding.DDP, Sharding.ZERO1))
    assert whole.low / whole.mfu < 0.8 * sharded.low / sharded.mfu


def test_what_was_learned_of_the_stack_does_not_take_the_stall_away(job: Job, on: On) -> None:
    taught = Corrections(MappingProxyType({"H100-SXM5/nanotron/Training": Correction(0.95, 0.02, 5)}))
    shipped_only, learned = found(job, on(gpus=256)), found(job, on(gpus=256), taught)
    assert learned.doubt.total < shipped_only.doubt.total
    assert learned.low == pytest.approx(band(learned.mfu, learned.doubt.total)[0] * shipped_only.doubt.tail)

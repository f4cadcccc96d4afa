"""A setting in one line: what is the same reads the same, what differs reads differently."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mfu.engine.history.setting import setting_of
from mfu.predict.types import Inference, Parallelism, Phase, Precisions, Recompute, Setup, Sharding, Training
from tests.builders.cases import SERVING, case
from tests.builders.readings import GPT, job

JOB = job()
REPLICA = Inference(GPT, Precisions(), Phase.MIXED, 512, 128, 16, Parallelism(tensor=2))


def test_worked_lines() -> None:
    assert setting_of(JOB) == "mbs 8 gbs 16 seq 2048 d2 ZeRO1 None BF16"
    wide = replace(JOB, parallelism=Parallelism(8, 4, 2, 16, 1, 3))
    assert setting_of(wide) == "mbs 8 gbs 16 seq 2048 t8 p4 v3 c2 d16 ZeRO1 None BF16"
    assert setting_of(REPLICA) == "in 512 out 128 concurrency 16 t2 BF16/BF16/BF16"


OTHERS: dict[str, tuple[Setup, Setup]] = {
    "micro-batch": (JOB, replace(JOB, micro_batch_size=4)),
    "global batch": (JOB, replace(JOB, global_batch_size=32)),
    "sequence": (JOB, replace(JOB, sequence_length=4096)),
    "sharding": (JOB, replace(JOB, sharding=Sharding.ZERO3)),
    "recomputation": (JOB, replace(JOB, recompute=Recompute.FULL)),
    "layout": (JOB, replace(JOB, parallelism=Parallelism(tensor=2))),
    "a context group is no data group": (
        replace(JOB, parallelism=Parallelism(context=2)),
        replace(JOB, parallelism=Parallelism(data=2)),
    ),
    "concurrency": (REPLICA, replace(REPLICA, concurrency=32)),
    "prompt": (REPLICA, replace(REPLICA, input_tokens=1024)),
    "answer": (REPLICA, replace(REPLICA, output_tokens=256)),
    "KV cache": (
        REPLICA,
        replace(REPLICA, precisions=replace(REPLICA.precisions, kv_cache=JOB.precisions.compute.FP8)),
    ),
    "a job and a replica": (JOB, REPLICA),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_setting_reads_differently(name: str) -> None:
    one, other = OTHERS[name]
    assert setting_of(one) != setting_of(other)


def test_another_model_is_no_other_setting() -> None:
    assert setting_of(JOB) == setting_of(replace(JOB, architecture=replace(GPT, name="other"), engine="Megatron"))


def test_the_declared_setting_fits_the_api() -> None:
    """`status.history[].setting` holds 256 characters."""
    widest = Training(
        GPT,
        Precisions(),
        10**7,
        10**6,
        10**4,
        Parallelism(64, 64, 64, 10**4, 256, 16),
        Sharding.ZERO3,
        Recompute.SELECTIVE,
    )
    assert len(setting_of(widest)) < 256
    assert len(setting_of(case(SERVING).setup)) < 256

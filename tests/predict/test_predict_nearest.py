"""The nearest setting that fits: it does fit, it is near, and no tensor group leaves its NVLink domain."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.hardware.catalog import load
from mfu.hardware.types import GPU, Device
from mfu.predict import predict
from mfu.predict.nearest import nearest_fit, nvlinked_gpus
from mfu.predict.types import (
    Inference,
    Parallelism,
    Phase,
    Placement,
    Precisions,
    Prediction,
    Recompute,
    Sharding,
    Training,
)
from mfu.workload.presets import preset


def on(product: str, gpus: int) -> Placement:
    gpu = load().by_api_name(product)
    assert isinstance(gpu, GPU)
    return Placement(Device(gpu), gpus, min(gpus, max(8, gpu.nvlink_domain_gpus)))


def job(model: str, gpus: int, **given: object) -> Training:
    made = Training(preset(model), Precisions(), 4096, 8 * gpus, 1, Parallelism(data=gpus), Sharding.DDP)
    return replace(made, **given)  # type: ignore[arg-type]


def replica(model: str, tensor: int, concurrency: float = 32.0) -> Inference:
    return Inference(preset(model), Precisions(), Phase.MIXED, 2000.0, 300.0, concurrency, Parallelism(tensor=tensor))


def test_one_change_where_one_is_enough() -> None:
    found = nearest_fit(job("llama-3.1-8b", 8), on("H100-SXM5", 8))
    assert found is not None
    assert found.changes == ("sharding DDP → ZeRO3",)
    assert found.placement.gpus == 8


def test_more_gpus_only_where_no_layout_fits_on_those_there_are() -> None:
    found = nearest_fit(job("llama-3.1-70b", 8), on("H100-SXM5", 8))
    assert found is not None
    assert found.changes[0].startswith("accelerators.count 8 → ")
    assert found.prediction.memory.fits


def test_a_replica_grows_over_its_domain_before_it_leaves_it() -> None:
    found = nearest_fit(replica("llama-3.1-70b", 1), on("H100-SXM5", 1))
    assert found is not None
    assert found.changes == ("accelerators.count 1 → 2", "parallelism tensor 1 → tensor 2")
    over = nearest_fit(replica("llama-3.1-405b", 8, 8.0), on("H100-SXM5", 8))
    assert over is not None
    assert over.setup.parallelism == Parallelism(tensor=8, pipeline=2)


def test_without_nvlink_stages_take_the_place_of_tensor_groups() -> None:
    found = nearest_fit(replica("llama-3.1-70b", 2), on("L40S", 2))
    assert found is not None
    assert found.setup.parallelism.tensor == 1
    assert found.setup.parallelism.pipeline == found.placement.gpus


def test_nothing_is_said_where_nothing_near_fits() -> None:
    assert nearest_fit(replica("deepseek-v3", 1), on("T4", 1)) is None


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    model=st.sampled_from(["llama-3.1-8b", "llama-3.1-70b", "mixtral-8x7b"]),
    product=st.sampled_from(["H100-SXM5", "A100-SXM4-40GB", "L40S", "GB200"]),
    gpus=st.sampled_from([1, 4, 8, 16]),
    recompute=st.sampled_from(list(Recompute)),
    sharding=st.sampled_from([Sharding.DDP, Sharding.ZERO1, Sharding.ZERO3]),
)
def test_what_is_found_fits_and_keeps_its_groups_together(
    model: str, product: str, gpus: int, recompute: Recompute, sharding: Sharding
) -> None:
    where = on(product, gpus)
    found = nearest_fit(job(model, gpus, recompute=recompute, sharding=sharding), where)
    if found is None:
        return
    again = predict(found.setup, found.placement)
    assert isinstance(again, Prediction)
    assert again.memory.fits
    cut = found.setup.parallelism
    assert cut.tensor * cut.pipeline * cut.context * cut.data == found.placement.gpus
    assert cut.tensor <= nvlinked_gpus(found.placement)
    assert found.placement.device == where.device


@pytest.mark.parametrize(("product", "gpus", "domain"), [("H100-SXM5", 64, 8), ("GB200", 64, 64), ("L40S", 8, 1)])
def test_domains(product: str, gpus: int, domain: int) -> None:
    assert nvlinked_gpus(on(product, gpus)) == domain

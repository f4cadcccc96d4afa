"""How recorded kernels are told apart and their time is shared out."""

from __future__ import annotations

import pytest

from e2e.recordings.kernels import kind_of, spent_on


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ncclDevKernel_AllGather_RING_LL(ncclDevKernelArgsStorage<4096ul>)", "nccl"),
        ("cudnn_generated_fort_native_sdpa_sm90_flash_fprop_wgmma_f16_knob_7_64x128x128_kernel0_0", "attention"),
        ("nvjet_tst_128x256_64x4_2x1_v_bz_coopA_TNT", "product"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64", "product"),
        ("void at::native::detail::chunk_cat_cuda_kernel<float, c10::BFloat16>", "copy_in"),
        ("void at::native::detail::split_with_sizes_copy_out_contiguous_no_cast_kernel", "copy_out"),
        ("void at::native::multi_tensor_apply_kernel<FusedAdamMathFunctor>", "optimizer"),
        ("triton_red_fused__to_copy_add_mean_mul_pow_rsqrt_0", "fused"),
        ("void at::native::vectorized_elementwise_kernel<4, silu>", "other"),
    ],
)
def test_a_kernel_is_known_by_its_name(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_exchanges_count_as_alone_only_while_nothing_computes() -> None:
    found = spent_on([("nccl", 0.0, 3.0), ("product", 1.0, 2.0), ("product", 4.0, 5.0)])
    assert found == {"nccl": 3.0, "product": 2.0, "span": 5.0, "nccl_alone": 2.0, "idle": 1.0}


def test_kernels_of_several_streams_are_not_counted_twice_as_busy() -> None:
    found = spent_on([("product", 0.0, 2.0), ("fused", 1.0, 3.0), ("nccl", 0.5, 1.5)])
    assert (found["span"], found["nccl_alone"], found["idle"]) == (3.0, 0.0, 0.0)

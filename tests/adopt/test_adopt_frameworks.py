"""Each engine and framework: a command line of its own kind gives the declaration that it means."""

from __future__ import annotations

from typing import Any

import pytest

from mfu.adopt.containers import Container
from mfu.adopt.draft import Draft, adopt
from mfu.adopt.findings import Certainty
from mfu.adopt.names import named_model
from mfu.adopt.which_model import Given
from mfu.shipped import table
from mfu.workload.presets import names as preset_names


def job(
    *command: str, image: str = "registry.example/any:1", gpus: int = 8, pods: int = 1, **more: Any
) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": image,
        "command": list(command),
        "resources": {"limits": {"nvidia.com/gpu": gpus}},
    }
    spec = {"containers": [container | more], "volumes": [{"name": "cfg", "configMap": {"name": "cfg"}}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job"},
        "spec": {"parallelism": pods, "template": {"spec": spec}},
    }


def mounted(**files: str) -> dict[str, Any]:
    data = {name.replace("__", "."): text for name, text in files.items()}
    return {"kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": data}


MOUNT: dict[str, Any] = {"volumeMounts": [{"name": "cfg", "mountPath": "/cfg"}]}
AXOLOTL = """
base_model: meta-llama/Llama-3.1-8B
sequence_len: 4096
micro_batch_size: 2
gradient_accumulation_steps: 4
adapter: lora
gradient_checkpointing: true
deepspeed: deepspeed_configs/zero3_bf16.json
optimizer: adamw_torch_fused
"""
DEEPSPEED = '{"train_batch_size": 128, "train_micro_batch_size_per_gpu": 4, "zero_optimization": {"stage": 2}}'
TRAINER = r"""
set -e
pip install trl
accelerate launch --num_processes 8 run_clm.py \
  --model_name_or_path meta-llama/Llama-2-13b-hf --per_device_train_batch_size 4 --gradient_accumulation_steps 2 \
  --block_size 2048 --bf16 True --gradient_checkpointing True --fsdp "full_shard auto_wrap" --optim adafactor
"""

CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "axolotl": (
        [job("axolotl", "train", "/cfg/c.yaml", image="axolotlai/axolotl:0.9.2", **MOUNT), mounted(c__yaml=AXOLOTL)],
        {
            "runtime.engine": "Axolotl",
            "model.preset": "llama-3.1-8b",
            "training.sequenceLength": 4096,
            "training.microBatchSize": 2,
            "training.globalBatchSize": 64,
            "training.sharding": "ZeRO3",
            "training.method": "LoRA",
            "training.recompute": "Full",
        },
    ),
    "deepspeed": (
        [
            job(
                "deepspeed",
                "--num_gpus=8",
                "train.py",
                "--model_name_or_path",
                "meta-llama/Llama-2-7b-hf",
                "--deepspeed",
                "/cfg/ds.json",
                "--max_seq_len",
                "2048",
                **MOUNT,
            ),
            mounted(ds__json=DEEPSPEED),
        ],
        {
            "runtime.engine": "DeepSpeed",
            "model.preset": "llama-2-7b",
            "training.sharding": "ZeRO2",
            "training.globalBatchSize": 128,
            "training.microBatchSize": 4,
            "training.sequenceLength": 2048,
        },
    ),
    "hugging face trainer": (
        [job("bash", "-lc", TRAINER)],
        {
            "runtime.engine": "Hugging Face Trainer",
            "model.preset": "llama-2-13b",
            "training.globalBatchSize": 64,
            "training.sharding": "FSDP",
            "training.optimizer": "Adafactor",
            "training.recompute": "Full",
        },
    ),
    "maxtext": (
        [
            job(
                "python3",
                "-m",
                "MaxText.train",
                "MaxText/configs/base.yml",
                "model_name=llama2-7b",
                "per_device_batch_size=4",
                "max_target_length=4096",
                "ici_tensor_parallelism=2",
                "remat_policy=full",
                "quantization=fp8",
                pods=2,
            )
        ],
        {
            "runtime.engine": "MaxText",
            "model.preset": "llama-2-7b",
            "accelerators.count": 16,
            "training.parallelism.tensor": 2,
            "training.parallelism.data": 8,
            "training.recompute": "Full",
            "precision.compute": "FP8",
        },
    ),
    "llm-foundry": (
        [
            job(
                "composer",
                "train/train.py",
                "yamls/pretrain/mpt-7b.yaml",
                "max_seq_len=2048",
                "global_train_batch_size=256",
                "device_train_microbatch_size=8",
                image="mosaicml/llm-foundry:2.5.1",
            )
        ],
        {"runtime.engine": "llm-foundry", "model.preset": "mpt-7b", "training.globalBatchSize": 256},
    ),
    "nemo": (
        [
            job(
                "nemo",
                "llm",
                "pretrain",
                "--factory",
                "llama31_8b",
                "data.seq_length=8192",
                "data.global_batch_size=128",
                "data.micro_batch_size=1",
                "trainer.strategy.tensor_model_parallel_size=2",
                image="nvcr.io/nvidia/nemo:24.09",
            )
        ],
        {
            "runtime.engine": "NeMo",
            "runtime.version": "24.09",
            "model.preset": "llama-3.1-8b",
            "training.parallelism.tensor": 2,
            "training.parallelism.data": 4,
            "training.globalBatchSize": 128,
        },
    ),
    "torchtune": (
        [
            job(
                "tune",
                "run",
                "--nproc_per_node",
                "8",
                "lora_finetune_distributed",
                "--config",
                "llama3_1/8B_lora",
                "batch_size=2",
                "gradient_accumulation_steps=8",
            )
        ],
        {
            "runtime.engine": "torchtune",
            "model.preset": "llama-3.1-8b",
            "training.method": "LoRA",
            "training.globalBatchSize": 128,
        },
    ),
    "megatron with grouped queries": (
        [
            job(
                "torchrun",
                "pretrain_gpt.py",
                "--tensor-model-parallel-size",
                "2",
                "--num-layers",
                "32",
                "--hidden-size",
                "4096",
                "--ffn-hidden-size",
                "14336",
                "--num-attention-heads",
                "32",
                "--group-query-attention",
                "--num-query-groups",
                "8",
                "--swiglu",
                "--disable-bias-linear",
                "--normalization",
                "RMSNorm",
                "--position-embedding-type",
                "rope",
                "--untie-embeddings-and-output-weights",
                "--vocab-size",
                "128256",
                "--seq-length",
                "8192",
                "--micro-batch-size",
                "1",
                "--global-batch-size",
                "128",
                "--use-distributed-optimizer",
                "--bf16",
                image="registry.example/megatron-lm:1",
            )
        ],
        {
            "runtime.engine": "Megatron",
            "model.architecture.kvHeads": 8,
            "model.architecture.ffn": 14336,
            "training.sharding": "ZeRO1",
            "training.parallelism.data": 4,
        },
    ),
    "tensorrt-llm with a file": (
        [
            job(
                "trtllm-serve",
                "nvidia/DeepSeek-R1-0528-FP4",
                "--tp_size",
                "8",
                "--extra_llm_api_options",
                "/cfg/x.yaml",
                **MOUNT,
            ),
            mounted(x__yaml="kv_cache_config: {dtype: fp8}"),
        ],
        {"model.preset": "deepseek-r1", "precision.weights": "FP4", "precision.kvCache": "FP8"},
    ),
    "llama.cpp": (
        [job("/app/llama-server", "-hf", "ggml-org/gpt-oss-20b-GGUF", "-c", "16384", "--parallel", "4", gpus=1)],
        {"mode": "Inference", "runtime.engine": "llama.cpp", "model.preset": "gpt-oss-20b", "inference.concurrency": 4},
    ),
    "ms-swift": (
        [
            job(
                "bash",
                "-c",
                "NPROC_PER_NODE=8 swift sft --model Qwen/Qwen2.5-7B-Instruct --train_type full --max_length 2048 "
                "--per_device_train_batch_size 1 --gradient_accumulation_steps 16 --deepspeed zero2",
                image="modelscope/swift:3.8",
            )
        ],
        {
            "runtime.engine": "ms-swift",
            "model.preset": "qwen2.5-7b",
            "training.method": None,
            "training.sharding": "ZeRO2",
            "training.globalBatchSize": 128,
            "training.recompute": "Full",
        },
    ),
    "tensorrt-llm": (
        [job("trtllm-serve", "serve", "Qwen/Qwen3-32B", "--tp_size", "8", "--max_batch_size", "256")],
        {"runtime.engine": "TensorRT-LLM", "model.preset": "qwen3-32b", "inference.parallelism.tensor": 8},
    ),
    "vllm serve": (
        [job("vllm", "serve", "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "-tp", "8", "--kv-cache-dtype=fp8")],
        {
            "runtime.engine": "vLLM",
            "model.preset": "llama-3.3-70b",
            "precision.weights": "FP8",
            "precision.kvCache": "FP8",
            "inference.parallelism.tensor": 8,
        },
    ),
    "a MIG slice": (
        [
            job("vllm", "serve", "Qwen/Qwen3-0.6B", gpus=0, resources={"limits": {"nvidia.com/mig-1g.10gb": 1}}),
        ],
        {"accelerators.migProfile": "1g.10gb", "accelerators.resourceName": "nvidia.com/mig-1g.10gb"},
    ),
}


def at(draft: Draft, path: str) -> Any:
    node: Any = draft.document["spec"]
    for step in path.split("."):
        node = node.get(step) if isinstance(node, dict) else None
    return node


@pytest.mark.parametrize("name", CASES)
def test_a_command_line_means_this(name: str) -> None:
    documents, expected = CASES[name]
    (draft,) = adopt(documents)
    assert {path: at(draft, path) for path in expected} == expected
    assert draft.complete


def test_an_environment_fills_in_variables() -> None:
    env = [{"name": "MODEL", "value": "Qwen/Qwen3-8B"}, {"name": "TP", "value": "2"}]
    (draft,) = adopt([job("sh", "-c", "vllm serve $MODEL --tensor-parallel-size ${TP}", gpus=2, env=env)])
    assert at(draft, "model.preset") == "qwen3-8b"
    assert at(draft, "inference.parallelism.tensor") == 2


def test_a_layout_that_takes_other_gpus_than_the_pods_hold_is_said() -> None:
    (draft,) = adopt([job("vllm", "serve", "Qwen/Qwen3-8B", gpus=4)])
    unknown = {line.field: line.why for line in draft.lines if line.certainty is Certainty.UNKNOWN}
    assert at(draft, "accelerators.count") == 1
    assert "hold 4 GPUs" in unknown["inference.parallelism"]


def test_an_unknown_engine_is_said_and_nothing_is_guessed_of_the_model() -> None:
    (draft,) = adopt([job("python", "main.py", gpus=1)])
    unknown = {line.field for line in draft.lines if line.certainty is Certainty.UNKNOWN}
    assert {"model", "runtime.engine"} <= unknown
    assert not draft.complete


def test_a_preset_may_be_given() -> None:
    (draft,) = adopt([job("python", "main.py", gpus=1)], Given(model="llama-3.1-8b"))
    assert at(draft, "model.preset") == "llama-3.1-8b"


@pytest.mark.parametrize("document", [{}, {"kind": "Service"}, {"kind": "Deployment"}, {"kind": "Job", "spec": None}])
def test_what_runs_no_model_gives_nothing(document: dict[str, Any]) -> None:
    assert adopt([document]) == ()


@pytest.mark.parametrize(
    ("name", "preset"),
    [
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("hf://Qwen/Qwen2.5-7B-Instruct", "qwen2.5-7b"),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-70B", "llama-3.3-70b"),
        ("openai/gpt-oss-120b", "gpt-oss-120b"),
        ("hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4", "llama-3.1-70b"),
        ("acme/secret-model-9b", None),
        ("meta-llama/Llama-3.1-9B", None),
        ("pvc://models/llama-31-8b-instruct", "llama-3.1-8b"),
        ("s3://bucket/meta-llama--Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("/hub/models--Qwen--Qwen3-8B/snapshots/9c925d64d72725edaf899c6cb9c377fd0709d9c5", "qwen3-8b"),
        ("/runs/llama-3.1-8b/my-draft", None),
        ("google/gemma-31b-it", None),
        ("meta-llama/Llama-38B", None),
        ("Qwen/Qwen2.5-05B", None),
    ],
)
def test_model_names(name: str, preset: str | None) -> None:
    block = named_model(name).block
    assert (block or {}).get("preset") == preset


def test_sizes_that_differ_by_a_point_are_two_models() -> None:
    assert named_model("facebook/opt-13b").block is None
    small = named_model("facebook/opt-1.3b").block
    assert small is not None
    assert small["architecture"]["hidden"] == 2048


def test_a_mistral_without_a_window_is_not_the_one_with_it() -> None:
    block = named_model("mistralai/Mistral-7B-Instruct-v0.2").block
    assert block is not None
    assert "preset" not in block
    assert "window" not in block["architecture"]


@pytest.mark.parametrize(
    ("annotations", "limits", "count", "said"),
    [
        # github.com/Project-HAMi/HAMi/blob/master/examples/nvidia/vllm_cross_vgpu.yaml
        (
            {},
            {"nvidia.com/gpu": 2, "nvidia.com/gpumem-percentage": 30, "nvidia.com/gpucores": 30},
            2,
            "HAMi gives each pod 30% of each GPU",
        ),
        # github.com/kai-scheduler/KAI-Scheduler/blob/main/docs/gpu-sharing/gpu-sharing.yaml
        ({"gpu-fraction": "0.5"}, {}, 1, "KAI Scheduler gives each pod 50% of each GPU"),
    ],
)
def test_parts_of_gpus_are_said(annotations: dict[str, str], limits: dict[str, Any], count: int, said: str) -> None:
    arguments = ["vllm", "serve", "Qwen/Qwen2.5-3B-Instruct", "--tensor-parallel-size", str(count)]
    container = {"image": "vllm/vllm-openai:v0.11.0", "command": arguments, "resources": {"limits": limits}}
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}
    metadata = {"name": "vllm", "namespace": "team"}
    (draft,) = adopt(
        [{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}}]
    )
    assert draft.document["spec"]["accelerators"]["count"] == count
    assert any(said in str(line) for line in draft.lines)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$((NODES * 8))", "16"),
        ("$(( ${NODES:-1} * GPUS + 1 ))", "9"),
        ("$((UNKNOWN * 8))", "$((UNKNOWN * 8))"),
        ("$((NODES / 2))", "$((NODES / 2))"),
    ],
)
def test_arithmetic_of_launch_scripts(text: str, filled: str) -> None:
    container = Container("c", "", (), {"NODES": "2", "GPUS": "4"}, {})
    assert container.filled(text) == filled


@pytest.mark.parametrize(
    ("labels", "product"),
    [
        ({"gpu.nvidia.com/class": "H100_NVLINK_80GB"}, "H100-SXM5"),
        ({"gpu.nvidia.com/class": "L40S"}, "L40S"),
        ({"eks.amazonaws.com/instance-gpu-name": "l4"}, "L4"),
        ({"karpenter.k8s.aws/instance-gpu-name": "a100", "karpenter.k8s.aws/instance-gpu-memory": "40960"}, "A100"),
        ({"cloud.google.com/gke-accelerator": "nvidia-rtx-pro-6000"}, "RTX-PRO-6000"),
        ({"node.kubernetes.io/instance-type": "p5.48xlarge"}, "H100-SXM5"),
        ({"karpenter.k8s.aws/instance-gpu-name": "a100"}, None),
        ({"gpu.nvidia.com/class": "A100"}, None),
    ],
)
def test_a_node_label_names_the_product(labels: dict[str, str], product: str | None) -> None:
    document = job("torchrun", "train.py")
    document["spec"]["template"]["spec"]["nodeSelector"] = labels
    (draft,) = adopt([document])
    found = at(draft, "accelerators.products")
    assert found == product if product is None else found[0].startswith(product)


@pytest.mark.parametrize(
    ("quantization", "name", "weights"),
    [
        ("modelopt", "nvidia/Llama-3.1-70B-Instruct-FP8", "FP8"),
        ("compressed-tensors", "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16", "INT4"),
        ("w8a8_int8", "meta-llama/Llama-3.1-8B", "INT8"),
        ("modelopt", "meta-llama/Llama-3.1-8B", None),
    ],
)
def test_a_tool_that_quantised_is_no_format(quantization: str, name: str, weights: str | None) -> None:
    command = ("python3", "-m", "sglang.launch_server", "--model-path", name, "--quantization", quantization)
    (draft,) = adopt([job(*command, image="lmsysorg/sglang:v0.5.3", gpus=1)])
    assert at(draft, "precision.weights") == weights
    assert weights is not None or any("no quantization that is known" in line.why for line in draft.lines)


def test_names_that_are_one_without_their_signs_are_one_model() -> None:
    known: dict[str, dict[str, Any]] = {name: {"preset": name} for name in preset_names()}
    known |= table("mfu.adopt", "models.yaml")
    for name, entry in known.items():
        block = named_model(name).block
        assert block is not None
        if "preset" in entry:
            assert block == {"preset": entry["preset"]}
        else:
            assert block["architecture"]["layers"] in entry.values()


@pytest.mark.parametrize(
    ("command", "compilation"),
    [
        ("vllm serve Qwen/Qwen3-8B --enforce-eager", "None"),
        ("vllm serve Qwen/Qwen3-8B --enforce-eager=false", None),
        ("vllm serve Qwen/Qwen3-8B", None),
        ("python3 -m dynamo.vllm --model Qwen/Qwen3-8B --enforce-eager", "None"),
        ("python3 -m sglang.launch_server --model-path Qwen/Qwen3-8B --disable-cuda-graph", "None"),
        ("python3 -m sglang.launch_server --model-path Qwen/Qwen3-8B", None),
    ],
)
def test_a_server_without_cuda_graphs_is_declared_uncompiled(command: str, compilation: str | None) -> None:
    (draft,) = adopt([job(*command.split(), gpus=1)])
    assert at(draft, "runtime.compilation") == compilation

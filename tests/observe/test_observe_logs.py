"""`mfu observe` on lines that people really posted, with MFU worked by hand. Sources are named; numbers are theirs."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from mfu.cli.main import main
from mfu.cli.observe import _follow

H100, A100 = 989.4e12, 312e12
"""Dense BF16 of H100-SXM5 and A100 (datasheets)."""


@dataclass(frozen=True)
class Model:
    """Dimensions enough to count FLOPs by hand; `products` are the active matrices of one layer besides attention's."""

    preset: str
    layers: int
    hidden: int
    kv: int
    ffn: int
    vocab: int
    gated: bool = True
    experts: int = 1
    routed: int = 0

    def flops_per_token(self, length: int) -> float:
        """6 per matrix entry, and scores and values over half the square: 2 · 2 · S/2 · h forward, three times that."""
        attention = 2 * self.hidden**2 + 2 * self.hidden * self.kv
        block = self.experts * (3 if self.gated else 2) * self.hidden * self.ffn + self.routed * self.hidden
        return (
            6 * (self.layers * (attention + block) + self.vocab * self.hidden) + 6 * self.layers * length * self.hidden
        )


MIXTRAL = Model("mixtral-8x7b", 32, 4096, 1024, 14336, 32000, experts=2, routed=8)
LLAMA8 = Model("llama-3.1-8b", 32, 4096, 1024, 14336, 128256)
LLAMA7 = Model("llama-2-7b", 32, 4096, 4096, 11008, 32000)
GPT2 = Model("gpt-2", 12, 768, 768, 3072, 50257, gated=False)


@dataclass(frozen=True)
class Run:
    """A declaration: `batch` sequences of `length` over `gpus`."""

    model: Model
    length: int
    batch: int
    gpus: int
    micro: int = 1
    product: str = "H100-SXM5"
    tensor: int = 1
    engine: str = ""

    @property
    def peak(self) -> float:
        return {"H100-SXM5": H100}.get(self.product, A100)

    def mfu(self, tokens_per_second: float) -> float:
        return tokens_per_second * self.model.flops_per_token(self.length) / (self.gpus * self.peak)

    def written(self, folder: Path) -> Path:
        spec: dict[str, Any] = {
            "mode": "Training",
            "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "run"},
            "model": {"preset": self.model.preset},
            "precision": {"compute": "BF16"},
            "accelerators": {"count": self.gpus, "products": [self.product]},
            "training": {
                "sequenceLength": self.length,
                "globalBatchSize": self.batch,
                "microBatchSize": self.micro,
                "parallelism": {"tensor": self.tensor, "data": self.gpus // self.tensor},
            },
        }
        if self.engine:
            spec["runtime"] = {"engine": self.engine}
        path = folder / "workload.yaml"
        head = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "ModelWorkload", "metadata": {"name": "run"}}
        path.write_text(yaml.safe_dump({**head, "spec": spec}), encoding="utf-8")
        return path


MEGATRON = """\
 [2024-04-06 03:02:12] iteration       71/     100 | consumed samples:         9088 | elapsed time per iteration (ms): 5361.6 | throughput per GPU (TFLOP/s/GPU): 243.6 | learning rate: 1.420000E-05 | global batch size:   128 | lm loss: 1.818812E+00 | load_balancing_loss: 1.013377E+00 | loss scale: 1.0 | grad norm: 1.300 | num zeros: 0.0 | number of skipped iterations:   0 | number of nan iterations:   0 |
 [2024-04-06 03:02:18] iteration       72/     100 | consumed samples:         9216 | elapsed time per iteration (ms): 5470.7 | throughput per GPU (TFLOP/s/GPU): 238.7 | learning rate: 1.440000E-05 | global batch size:   128 | lm loss: 1.820313E+00 | loss scale: 1.0 | grad norm: 1.305 | number of nan iterations:   0 |
 [2024-04-06 03:02:24] iteration       73/     100 | consumed samples:         9344 | elapsed time per iteration (ms): 5829.9 | throughput per GPU (TFLOP/s/GPU): 224.0 | learning rate: 1.460000E-05 | global batch size:   128 | lm loss: 1.798953E+00 | loss scale: 1.0 | grad norm: 1.539 | number of nan iterations:   0 |
"""  # noqa: E501
MEGATRON_2022 = """\
> finished creating BERT datasets ...
[before the start of training step] datetime: 2022-10-31 08:35:51
 iteration       10/ 1000000 | consumed samples:           40 | elapsed time per iteration (ms): 356.2 | learning rate: 0.000E+00 | global batch size:     4 | loss scale: 8388608.0 | number of skipped iterations:  10 | number of nan iterations:   0 |
time (ms) | forward-compute: 193.77 | backward-compute: 73.02 | backward-params-all-reduce: 20.10 | optimizer: 63.01 | batch-generator: 25.27
 iteration       20/ 1000000 | consumed samples:           80 | elapsed time per iteration (ms): 140.6 | learning rate: 2.020E-08 | global batch size:     4 | lm loss: nan | loss scale: 32768.0 | grad norm: 217.199 |
"""  # noqa: E501
MEGATRON_DEEPSPEED = """\
 iteration     5426/  250000 | consumed samples:        43408 | consumed tokens:     88899584 | elapsed time per iteration (ms): 4247.9 | learning rate: 2.999E-04 | global batch size:     8 | loss scale: 1.0 | grad norm: nan | actual seqlen:  2048 | number of skipped iterations:   0 | number of nan iterations:   0 | samples per second: 1.883 | TFLOPs: 78.36 |
 iteration     5427/  250000 | consumed samples:        43416 | consumed tokens:     88915968 | elapsed time per iteration (ms): 4225.8 | learning rate: 2.999E-04 | global batch size:     8 | loss scale: 1.0 | grad norm: nan | actual seqlen:  2048 | number of skipped iterations:   0 | number of nan iterations:   0 | samples per second: 1.893 | TFLOPs: 78.77 |
"""  # noqa: E501
TITAN_WPS = """\
[rank0]:2024-08-19 11:10:26,196 - root - INFO - Training starts at step 1, with local batch size 5, global batch size 20, sequence length 8192, total steps 100 (warmup 200)
[rank0]:2024-08-19 11:10:33,811 - root - INFO - step:  1  loss: 12.2365  memory: 81.67GiB(85.93%)  wps: 5,380  mfu: 1.09%
[rank0]:2024-08-19 11:10:33,811 - root - INFO - Synchronizing and adjusting timeout for all ProcessGroups to 0:01:40
[rank0]:2024-08-19 11:10:37,109 - root - INFO - step: 10  loss: 12.1951  memory: 81.67GiB(85.93%)  wps: 111,770  mfu: 22.68%
[rank0]:2024-08-19 11:10:40,777 - root - INFO - step: 20  loss: 11.9455  memory: 81.67GiB(85.93%)  wps: 111,714  mfu: 22.67%
[rank0]:2024-08-19 11:10:44,428 - root - INFO - step: 30  loss: 11.0407  memory: 81.67GiB(85.93%)  wps: 112,194  mfu: 22.76%
[rank0]:2024-08-19 11:10:48,083 - root - INFO - step: 40  loss:  9.9520  memory: 81.67GiB(85.93%)  wps: 112,109  mfu: 22.75%
"""  # noqa: E501
TITAN_TPS = """\
[rank0]:[titan] 2025-06-16 22:30:50,322 - root - INFO - \x1b[31mstep: 200  \x1b[32mloss:  6.1384  \x1b[38;2;180;60;0mmemory: 49.66GiB(52.28%)  \x1b[34mtps: 5,856  \x1b[36mtflops: 339.16  \x1b[35mmfu: 34.29%\x1b[39m
[rank0]:[titan] 2025-06-16 22:30:50,758 - root - INFO - Dumping profiler traces at step 200
[rank0]:[titan] 2025-06-16 22:31:04,970 - root - INFO - step: 210  loss:  6.0388  memory: 49.66GiB(52.28%)  tps: 5,593  tflops: 323.92  mfu: 32.75%
[rank0]:[titan] 2025-06-16 22:31:18,934 - root - INFO - step: 220  loss:  6.0348  memory: 49.66GiB(52.28%)  tps: 5,868  tflops: 339.82  mfu: 34.36%
[rank0]:[titan] 2025-06-16 22:31:32,895 - root - INFO - step: 230  loss:  5.9670  memory: 49.66GiB(52.28%)  tps: 5,869  tflops: 339.88  mfu: 34.37%
"""  # noqa: E501
NEMO_2 = """\
Training epoch 0, iteration 0/249 | lr: 1.961e-06 | global_batch_size: 8 | global_step: 0 | reduced_train_loss: 1.315 | train_step_timing in s: 7.126
Training epoch 0, iteration 1/249 | lr: 3.922e-06 | global_batch_size: 8 | global_step: 1 | reduced_train_loss: 1.653 | train_step_timing in s: 2.505 | consumed_samples: 16
Training epoch 0, iteration 2/249 | lr: 5.882e-06 | global_batch_size: 8 | global_step: 2 | reduced_train_loss: 1.278 | train_step_timing in s: 2.495 | consumed_samples: 24
"""  # noqa: E501
NEMO_1 = (
    "Epoch 0: : 100%|██████████| 100/100 [10:48<00:00, reduced_train_loss=0.0172, global_step=99.00, "
    "consumed_samples=25600.0, train_step_timing in s=3.130]\r"
)
NEMO_1_BAR = (
    "Epoch 0:   1%|          | 795/77225 [9:07:58<878:01:48, 41.36s/it, loss=3.1, v_num=, reduced_train_loss=3.090, "
    "global_step=794.0, consumed_samples=1.63e+6]\n"
)
LIGHTNING = """\
Epoch 0:   6%|▌         | 1/18 [00:08<02:29,  8.77s/it, loss=10.473, v_num=193315]
Epoch 0:  11%|█         | 2/18 [00:11<01:33,  5.82s/it, loss=10.473, v_num=193315]
Epoch 0:  17%|█▋        | 3/18 [00:14<01:13,  4.87s/it, loss=10.224, v_num=193315]
Epoch 0:  22%|██▏       | 4/18 [00:17<01:02,  4.47s/it, loss=10.072, v_num=193315]
Epoch 0:  22%|██▏       | 4/18 [00:17<01:02,  4.47s/it, loss=9.947, v_num=193315]
Epoch 0:  28%|██▊       | 5/18 [00:20<00:53,  4.14s/it, loss=9.947, v_num=193315]
"""
LIGHTNING_MONITOR = (
    "{'train|time': 2.5, 'train|batches': 12, 'train|samples': 24, 'train|lengths': 49152, "
    "'train|device/batches_per_sec': 2.0, 'train|device/samples_per_sec': 4.0, 'train|samples_per_sec': 32.0, "
    "'train|device/items_per_sec': 8192.0, 'train|items_per_sec': 65536.0}\n"
)
HF_BARS = """\
[INFO|trainer.py:1156] 2021-06-05 16:46:31,375 >> ***** Running training *****
[INFO|trainer.py:1157] 2021-06-05 16:46:31,386 >>   Num examples = 2021
[INFO|trainer.py:1159] 2021-06-05 16:46:31,407 >>   Instantaneous batch size per device = 10
[INFO|trainer.py:1160] 2021-06-05 16:46:31,418 >>   Total train batch size (w. parallel, distributed & accumulation) = 10
[INFO|trainer.py:1161] 2021-06-05 16:46:31,428 >>   Gradient Accumulation steps = 1
[INFO|trainer.py:1162] 2021-06-05 16:46:31,439 >>   Total optimization steps = 203
  1%|█▍   | 2/203 [00:12<16:46,  5.01s/it]\r  1%|██   | 3/203 [00:17<19:53,  4.97s/it]\r  2%|██▊  | 4/203 [00:22<16:40,  5.03s/it]
{'loss': nan, 'learning_rate': 4.9e-05, 'epoch': 0.02}
100%|█████| 7/7 [00:01<00:00,  4.40it/s]
"""  # noqa: E501
HF_TIMES = """\
[INFO|trainer_tf.py:522] 2021-01-15 10:27:59,116 >> ***** Running training *****
[INFO|trainer_tf.py:527] 2021-01-15 10:27:59,124 >>   Total train batch size (w. parallel, distributed & accumulation) = 32
[INFO|trainer_tf.py:532] 2021-01-15 10:27:59,137 >>   Total optimization steps = 460
[INFO|trainer_tf.py:398] 2021-01-15 10:28:50,371 >> {'loss': 0.6347228, 'learning_rate': 4.891304e-05, 'epoch': 0.08695652173913043, 'step': 10}
[INFO|trainer_tf.py:398] 2021-01-15 10:28:56,791 >> {'loss': 0.604829, 'learning_rate': 4.7826084e-05, 'epoch': 0.17391304347826086, 'step': 20}
[INFO|trainer_tf.py:398] 2021-01-15 10:29:03,192 >> {'loss': 0.6, 'learning_rate': 4.67e-05, 'epoch': 0.26, 'step': 30}
"""  # noqa: E501
HF_EPOCHS = """\
2026-11-22T06:00:00.0Z   Num examples = 1,600
2026-11-22T06:01:00.5Z {'loss': '2.1', 'grad_norm': '1.2', 'learning_rate': '5e-05', 'epoch': '0.1'}
2026-11-22T06:01:20.5Z {'loss': '2.0', 'grad_norm': '1.1', 'learning_rate': '5e-05', 'epoch': '0.2'}
2026-11-22T06:01:40.5Z {'loss': '2.0', 'grad_norm': '1.1', 'learning_rate': '5e-05', 'epoch': '0.3'}
"""
HF_SUMMARY = "{'train_runtime': 128.0, 'train_samples_per_second': 8.0, 'train_steps_per_second': 0.5, 'epoch': 1.0}\n"
NANOGPT = """\
tokens per iteration will be: 491,520
step 0: train loss 10.9886, val loss 10.9898
iter 1631: loss 4.0863, time 561.94ms
iter 1632: loss 3.7441, time 563.15ms
iter 1633: loss 3.9848, time 562.11ms
iter 1634: loss 3.8716, time 562.80ms
iter 1635: loss 3.9853, time 561.50ms
"""
NANOGPT_NAN = """\
2023-03-22 09:31:43 iter 2980: loss 3.8993, time 1099.18ms, mfu 15.34%
2023-03-22 09:31:56 iter 2990: loss 3.8853, time 1096.65ms, mfu 15.34%
2023-03-22 09:32:32 step 3000: train loss 4.0390, val loss 4.0427
saving checkpoint to out
2023-03-22 09:32:41 iter 3000: loss 4.2490, time 35392.33ms, mfu 13.85%
2023-03-22 09:32:52 iter 3010: loss nan, time 1019.95ms, mfu 14.12%
2023-03-22 09:33:02 iter 3020: loss nan, time 1015.95ms, mfu 14.36%
2023-03-22 09:33:12 iter 3030: loss nan, time 1017.59ms, mfu 14.58%
"""
NANOCHAT = """\
step 00010/21400 (0.05%) | loss: 9.105142 | lrm: 1.00 | dt: 538.12ms | tok/sec: 974,297 | mfu: 45.12 | total time: 0.10m
step 00011/21400 (0.05%) | loss: 9.094241 | lrm: 1.00 | dt: 538.30ms | tok/sec: 973,971 | mfu: 45.11 | total time: 0.11m
"""
LITGPT = """\
iter 76 step 38: loss 10.8259, iter time: 197.87ms
iter 77 step 39: loss 10.8259, iter time: 214.40ms (optimizer.step)
iter 78 step 39: loss 10.8259, iter time: 198.00ms
iter 79 step 40: loss 10.8259, iter time: 215.31ms (optimizer.step)
iter 80 step 40: loss 10.8259, iter time: 197.59ms
iter 81 step 41: loss 10.8259, iter time: 215.43ms (optimizer.step)
"""
LITGPT_2024 = """\
Epoch 34 | iter 3050700 step 610140 | loss train: 2.846, val: 2.861 | iter time: 112.20 ms (step) remaining time: 0:01:54
Epoch 34 | iter 3050750 step 610150 | loss train: 2.750, val: 2.861 | iter time: 111.35 ms (step) remaining time: 0:01:49
Epoch 34 | iter 3050800 step 610160 | loss train: 2.815, val: 2.861 | iter time: 110.35 ms (step) remaining time: 0:01:43
"""  # noqa: E501
MAXTEXT = """\
I0811 21:54:55.531340 138304841739136 metric_logger.py:226] completed step: 1, seconds: 0.631, TFLOP/s/device: 5688.282, Tokens/s/device: 311629.521, total_weights: 1572864, loss: 12.979, lm_loss: 12.979, perplexity: 433358.281
I0811 21:55:06.119312 138304841739136 metric_logger.py:226] completed step: 2, seconds: 5.667, TFLOP/s/device: 134.924, Tokens/s/device: 8672.758, total_weights: 196608, loss: 12.980
I0811 21:55:16.704861 138304841739136 metric_logger.py:226] completed step: 3, seconds: 5.667, TFLOP/s/device: 134.924, Tokens/s/device: 8672.758, total_weights: 196608, loss: nan
"""  # noqa: E501
MAXTEXT_2023 = """\
completed step: 15107, seconds: 2.167, TFLOP/s: 36.722, loss: 2.191
completed step: 15108, seconds: 2.164, TFLOP/s: 36.771, loss: 2.173
completed step: 15109, seconds: 2.166, TFLOP/s: 36.739, loss: 2.191
"""
DEEPSPEED = """\
[2022-03-11 02:06:58,985] [INFO] [logging.py:69:log_dist] [Rank 0] step=40, skipped=2, lr=[5e-05], mom=[[0.9, 0.999]]
[2022-03-11 02:06:58,985] [INFO] [timer.py:189:stop] 0/40, SamplesPerSec=83.48609168106144, MemAllocated=0.26GB, MaxMemAllocated=9.02GB
[2022-03-11 02:07:14,130] [INFO] [logging.py:69:log_dist] [Rank 0] step=50, skipped=2, lr=[5e-05], mom=[[0.9, 0.999]]
[2022-03-11 02:07:14,130] [INFO] [timer.py:189:stop] 0/50, SamplesPerSec=83.73838805358588, MemAllocated=0.26GB, MaxMemAllocated=9.02GB
"""  # noqa: E501
DEEPSPEED_2023 = (
    "[2023-07-25 21:03:17,269] [INFO] [timer.py:215:stop] epoch=0/micro_step=34/global_step=34, "
    "RunningAvgSamplesPerSec=7.864669709950182, CurrSamplesPerSec=8.00912418308922, MemAllocated=59.65GB, "
    "MaxMemAllocated=63.31GB\n"
)
DEEPSPEED_PIPELINE = (
    "steps: 10 loss: 3.1234 iter time (s): 1.230 samples/sec: 26.016\n"
    "steps: 20 loss: 3.0034 iter time (s): 1.230 samples/sec: 26.016\n"
)
NEOX = (
    " samples/sec: 7.799 | iteration       34/   10000 | elapsed time per iteration (ms): 4103.1 | "
    "learning rate: 2.111E-06 | approx flops per GPU: 112.9TFLOPS | lm_loss: 1.118665E+01 |\n"
)
NANOTRON = (
    "10/17/2025 16:31:56 [INFO|DP=0|PP=0|TP=0]: iteration: 327281 / 378950 | consumed_tokens: 85.8G | "
    "elapsed_time_per_iteration_ms: 11.5K | tokens_per_sec: 22.8K | tokens_per_sec_per_gpu: 11.4K | "
    "global_batch_size: 64 | lm_loss: 2.38 | lr: 1e-05 | model_tflops_per_gpu: 38.3 | grad_norm: 1.25\n"
)

BLOOM = (
    " iteration     1000/   95367 | consumed samples:       192000 | elapsed time per iteration (s): 104.50 | "
    "learning rate: 1.0E-05 | global batch size:   192 | lm loss: 6.1E+00 |\n"
)
TITAN_JSON = (
    '{"step": 10, "loss_metrics/global_avg_loss": 8.1, "throughput(tps)": 5800.0, "tflops": 339.1, "mfu(%)": 34.3, '
    '"time_metrics/end_to_end(s)": 14.1, "time_metrics/data_loading(s)": 0.1}\n'
)
MAXTEXT_JSON = (
    '{"perf/step_time_seconds": 5.667, "perf/per_device_tflops_per_sec": 134.9, '
    '"perf/per_device_tokens_per_sec": 8672.8, "learning/loss": 10.3, "step": 9.0}\n'
)
BRIDGE = "Step Time : 12.39s GPU utilization: 412.3MODEL_TFLOP/s/GPU\n"
JSON_STEPS = '{"step": 7, "loss": 2.1, "step_time": 0.25, "tokens_per_sec": 65536, "time": "2026-11-22T06:00:00Z"}\n'

CASES = [
    # bigscience-workshop: the first BLOOM logs counted in seconds (numbers invented)
    ("Megatron", BLOOM, Run(LLAMA8, 2048, 192, 48, product="A100-SXM4-80GB"), 192 * 2048 / 104.5),
    # torchtitan's and MaxText's metric names as they write them to their own files (numbers as above)
    ("torchtitan", TITAN_JSON, Run(LLAMA8, 8192, 80, 8), 8 * 5800),
    ("MaxText", MAXTEXT_JSON, Run(LLAMA8, 8192, 24, 4, micro=6), 4 * 8672.8),
    # NVIDIA-NeMo/Megatron-Bridge: its name for model FLOP/s is "GPU utilization" (facts page on workloads' metrics)
    ("NeMo", BRIDGE, Run(LLAMA8, 8192, 128, 8), 128 * 8192 / 12.39),
    # any loop of one's own that writes JSON lines
    ("HuggingFace", JSON_STEPS, Run(GPT2, 1024, 16, 1, micro=16), 65_536),
    # NVIDIA/Megatron-LM issue 756: 128 sequences in (5.3616 + 5.4707 + 5.8299) / 3 s
    ("Megatron", MEGATRON, Run(MIXTRAL, 2048, 128, 16, tensor=8), 128 * 2048 * 3 / 16.6622),
    # NVIDIA/nccl issue 743: the first ten iterations are warm-up
    ("Megatron", MEGATRON_2022, Run(GPT2, 1024, 4, 1), 4 * 1024 / 0.1406),
    # bigscience-workshop/Megatron-DeepSpeed issue 396, named by its engine: samples per second x 2048
    ("Megatron", MEGATRON_DEEPSPEED, Run(LLAMA7, 2048, 8, 8, product="A100-SXM4-80GB"), 1.888 * 2048),
    # EleutherAI/gpt-neox lines in deepspeedai/DeepSpeed issue 3742
    ("Megatron", NEOX, Run(LLAMA7, 2048, 32, 8, product="A100-SXM4-80GB"), 7.799 * 2048),
    # huggingface/nanotron issue 390
    ("Megatron", NANOTRON, Run(GPT2, 4096, 64, 2), 22_800),
    # pytorch/torchtitan pull request 533, 4 H100: words per second of one device
    (
        "torchtitan",
        TITAN_WPS,
        Run(GPT2, 8192, 20, 4, micro=5),
        4 * 4 / (1 / 111770 + 1 / 111714 + 1 / 112194 + 1 / 112109),
    ),
    # pytorch/torchtitan pull request 1287: the dumped trace makes one line 5 % slower, and that is in the pace
    ("torchtitan", TITAN_TPS, Run(LLAMA8, 8192, 8, 8), 8 * 4 / (1 / 5856 + 1 / 5593 + 1 / 5868 + 1 / 5869)),
    # NVIDIA NeMo 2 step lines as its documentation shows them: the first step is warm-up
    ("NeMo", NEMO_2, Run(LLAMA8, 8192, 8, 8), 8 * 8192 / 2.5),
    # NeMo 1 as aws-samples documents it: "4096 * 256 / 3.13 = 335008"
    ("NeMo", NEMO_1, Run(LLAMA7, 4096, 256, 32), 335_008),
    # NVIDIA/NeMo-Framework-Launcher issue 55
    ("NeMo", NEMO_1_BAR, Run(LLAMA7, 2048, 2048, 64), 2048 * 2048 / 41.36),
    # Lightning-AI/pytorch-lightning issue 4225: 20.70 - 8.77 s for the last four micro-batches, two a step
    ("Lightning", LIGHTNING, Run(GPT2, 1024, 16, 1, micro=8), 8 * 1024 * 4 / (20.70 - 8.77)),
    # lightning/fabric/utilities/throughput.py: items are tokens, the global rate is of all ranks
    ("Lightning", LIGHTNING_MONITOR, Run(GPT2, 2048, 16, 8, micro=2), 65_536),
    # huggingface/transformers issue 262: three smoothed rates; the second bar is the evaluation's
    ("HuggingFace", HF_BARS, Run(GPT2, 512, 10, 1, micro=10), 10 * 512 * 3 / (5.01 + 4.97 + 5.03)),
    # huggingface/transformers pull request 9613: only the times of lines, ten steps in 6.42 and 6.401 s
    ("HuggingFace", HF_TIMES, Run(GPT2, 128, 32, 1, micro=16), 32 * 128 * 20 / 12.821),
    # a Trainer's plain lines behind kubectl's times (numbers invented): epochs x examples are the samples
    ("HuggingFace", HF_EPOCHS, Run(GPT2, 1024, 16, 1, micro=16), 160 * 1024 / 20.0),
    # transformers, Trainer.log() at the end of a run (numbers invented): samples per second
    ("HuggingFace", HF_SUMMARY, Run(GPT2, 1024, 16, 1, micro=16), 8 * 1024),
    # karpathy/nanoGPT issue 110, 8 A100
    ("nanoGPT", NANOGPT, Run(GPT2, 1024, 480, 8, micro=12, product="A100-SXM4-80GB"), 491_520 * 4 / 2.24956),
    # karpathy/nanoGPT issue 215: the iteration that evaluated is left out, NaN losses are steps like others
    ("nanoGPT", NANOGPT_NAN, Run(GPT2, 1024, 480, 1, micro=12), 491_520 * 4 / (1.09665 + 1.01995 + 1.01595 + 1.01759)),
    # karpathy/nanochat scripts/base_train.py prints so (numbers invented): tokens of all GPUs
    ("nanoGPT", NANOCHAT, Run(GPT2, 2048, 256, 8, micro=32), 974_134),
    # Lightning-AI/litgpt issue 689: two iterations a step, as its own counters show
    ("LitGPT", LITGPT, Run(GPT2, 1024, 32, 8, micro=2), 2 * 8 * 1024 * 6 / (3 * 0.197820 + 3 * 0.215047)),
    # Lightning-AI/litgpt issue 1607: five iterations a step
    ("LitGPT", LITGPT_2024, Run(GPT2, 1024, 480, 8, micro=12), 480 * 1024 / (5 * 0.1113)),
    # AI-Hypercomputer/maxtext pull requests 4847 and 2232: the first step was only launched
    ("MaxText", MAXTEXT, Run(LLAMA8, 8192, 24, 4, micro=6), 4 * 8672.758),
    # AI-Hypercomputer/maxtext issue 8: seconds alone
    ("MaxText", MAXTEXT_2023, Run(GPT2, 1024, 32, 8), 32 * 1024 * 3 / 6.497),
    # deepspeedai/DeepSpeed issue 1825: samples of all GPUs, averaged since the start
    ("DeepSpeed", DEEPSPEED, Run(GPT2, 512, 128, 1, micro=128), 83.61 * 512),
    # deepspeedai/DeepSpeed issue 3742
    ("DeepSpeed", DEEPSPEED_2023, Run(LLAMA7, 2048, 32, 8, product="A100-SXM4-80GB"), 8.00912418 * 2048),
    # deepspeed/runtime/pipe/engine.py as quoted in deepspeedai/DeepSpeed pull request 1934 (numbers invented)
    ("DeepSpeed", DEEPSPEED_PIPELINE, Run(GPT2, 1024, 32, 4), 26.016 * 1024),
]


def observe(run: Run, log: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    (folder / "train.log").write_text(log, encoding="utf-8", newline="")
    assert main(["observe", "-f", str(run.written(folder)), str(folder / "train.log"), "-o", "json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(("engine", "log", "run", "tokens_per_second"), CASES)
def test_mfu_of_a_posted_log(
    engine: str, log: str, run: Run, tokens_per_second: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = observe(run, log, tmp_path, capsys)
    assert told["engine"] == engine
    assert told["tokens_per_second"] == pytest.approx(tokens_per_second, rel=0.005)
    assert told["step_seconds"] == pytest.approx(run.batch * run.length / tokens_per_second, rel=0.01)
    assert told["steps"] >= 1
    expected = run.mfu(tokens_per_second)
    if expected > 1:
        assert told["mfu"] is None
        assert "its peak" in told["why"]["mfu"]
    else:
        assert told["mfu"] == pytest.approx(expected, rel=0.01)
        assert "mfu" not in told["why"]


TITAN_STEPS = [
    f"step: {10 * n}  loss: 3.1  grad_norm: 1.2  memory: 30.00GiB(38.00%)  tps: 5,800  mfu: 34.00%\n"
    for n in range(1, 31)
]
RUN8 = Run(LLAMA8, 8192, 8, 8)


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ("several ranks write", [f"[rank{rank}]:{line}" for line in TITAN_STEPS for rank in range(8)]),
        ("out of order", [*TITAN_STEPS[5:15], *TITAN_STEPS[:5], *TITAN_STEPS[15:]]),
        ("a restart with its warm-up", [*TITAN_STEPS[:20], "step: 161  loss: 3.1  tps: 40\n", *TITAN_STEPS[16:]]),
        ("evaluation and checkpoint", [
            *TITAN_STEPS[:9], "validate step: 90  loss: 2.9  memory: 30GiB(38%)  tps: 22,000\n",
            "Saving the checkpoint (or staging if async is enabled).\n",
            "step: 91  loss: 3.1  tps: 4,000\n", *TITAN_STEPS[9:],
        ]),
        ("container runtime", [f"2026-11-22T06:00:00.123456789Z stdout F {line}" for line in TITAN_STEPS]),
        ("Docker's files", [json.dumps({"log": line, "time": "2026-11-22T06:00:00Z"}) + "\n" for line in TITAN_STEPS]),
        ("NaN losses", [line.replace("3.1", "nan") for line in TITAN_STEPS]),
        ("no sense", ["\x00\ufffd\n", *TITAN_STEPS, "step: 9e99999 loss: 1 tps: 1e999\n", "step: x loss: y\n"]),
        ("warm-up", ["step:  1  loss: 12.2  tps: 5,1\n", "step:  5  loss: 12.2  tps: 2,900\n", *TITAN_STEPS]),
    ],
)  # fmt: skip
def test_what_happens_to_logs_does_no_harm(
    change: str, lines: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = observe(RUN8, "".join(lines), tmp_path, capsys)
    assert told["tokens_per_second"] == pytest.approx(8 * 5800, rel=0.005), change
    assert told["mfu"] == pytest.approx(RUN8.mfu(8 * 5800), rel=0.01), change


def test_a_starved_run_is_not_praised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = [line.replace("5,800", "2,900") for line in TITAN_STEPS]
    mixed = [each for pair in zip(TITAN_STEPS, slow, strict=True) for each in pair]
    told = observe(RUN8, "".join(mixed), tmp_path, capsys)
    assert told["tokens_per_second"] == pytest.approx(8 * 2 / (1 / 5800 + 1 / 2900), rel=0.02)


@pytest.mark.parametrize(
    ("log", "field", "reason"),
    [
        ("nothing here\n", "tokens_per_second", "no step lines"),
        ("{'loss': 2.1, 'learning_rate': 5e-05, 'epoch': 0.1}\n" * 3, "step_seconds", "timestamps"),
        (MEGATRON.replace("5361.6", "1.6").replace("5470.7", "1.6").replace("5829.9", "1.6").replace("[2024", "[x"),
         "mfu", "its peak"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_null_and_says_why(
    log: str, field: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.log").write_text(log, encoding="utf-8")
    run = Run(MIXTRAL, 2048, 128, 16, tensor=8)
    main(["observe", "-f", str(run.written(tmp_path)), str(tmp_path / "train.log"), "-o", "json"])
    told = json.loads(capsys.readouterr().out)
    assert told[field] is None
    assert reason in told["why"][field]
    assert told["expected_mfu"] is not None


def test_no_product_no_mfu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = RUN8.written(tmp_path)
    path.write_text(path.read_text().replace("  - H100-SXM5\n", "  - H100-SXM5\n    - A100-SXM4-80GB\n"))
    (tmp_path / "train.log").write_text("".join(TITAN_STEPS))
    assert main(["observe", "-f", str(path), str(tmp_path / "train.log"), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["mfu"], told["expected_mfu"]) == (None, None)
    assert "--product" in told["why"]["mfu"]
    assert main(["observe", "-f", str(path), str(tmp_path / "train.log"), "--product", "H100-SXM5"]) == 0
    assert "torchtitan" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["missing.log"], ["-", "-f", "-"], ["x", "--product", "H1000"]])
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["observe", "-f", str(RUN8.written(tmp_path)), *arguments]) == 2
    assert capsys.readouterr().err.startswith("mfu observe: ")


def test_standard_input_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(TITAN_STEPS)))
    assert main(["observe", "-f", str(RUN8.written(tmp_path))]) == 0
    assert "torchtitan" in capsys.readouterr().out


def test_follow_reads_on_across_a_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer moves the file away and begins a new one; every line is seen once."""
    log = tmp_path / "train.log"
    log.write_text("one\ntw")
    todo: list[Callable[[], object]] = [
        lambda: log.open("a").write("o\n"),
        lambda: (log.rename(tmp_path / "old"), log.write_text("three\n")),
        lambda: (_ for _ in ()).throw(KeyboardInterrupt),
    ]
    monkeypatch.setattr("mfu.cli.observe.time.sleep", lambda _: todo.pop(0)())
    seen: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        for lines in _follow(str(log)):
            seen += [each.strip() for each in lines if each.strip()]
    assert seen == ["one", "two", "three"]


def test_a_text_without_steps_says_once_what_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log"
    log.write_text("hello\n", encoding="utf-8")
    assert main(["observe", "-f", str(Run(LLAMA8, 4096, 64, 8).written(tmp_path)), str(log)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert "unknown step, tokens/s, MFU: the log has no step lines" in said
    assert said[-1].startswith("step lines are known of Megatron, torchtitan, NeMo")

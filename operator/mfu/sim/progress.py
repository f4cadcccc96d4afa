"""What the workloads report about themselves: training counters, or the counters of a serving engine."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from mfu.sim.fleet import SimFleet
from mfu.sim.flops import request_flops, training_flops_per_token
from mfu.sim.pods import SimPod, Work
from mfu.sim.shapes import peak
from mfu.sim.truth import Truth, TruthMode

_RIPPLE_PERIOD_SECONDS: Final = 7.0
_RIPPLE: Final = 0.004
"""Rates wander by this share around the planted one: d/dt of _RIPPLE · period/2π · sin(2π t/period)."""

_BATCH_TOKENS_CAP: Final = 8192


def rates(truth: Truth, peak_flops_per_s: float) -> Work:
    """Tokens per second of devices with that peak together: MFU × peak ÷ FLOPs per token of the frozen table.

    `rates(Truth(0.4, model="llama-3.1-8b", sequence_length=8192), 8 * 989.4e12).trained` is 0.4 · 7.9152e15 ÷ 5.147e10
    = 61,513 tokens/s.
    """
    useful = truth.mfu * peak_flops_per_s
    if useful == 0:
        return Work()
    if truth.mode is TruthMode.TRAINING:
        return Work(trained=useful / training_flops_per_token(truth))
    requests = useful / sum(request_flops(truth))
    prompt = 0.0 if truth.mode is TruthMode.DECODE else requests * truth.input_tokens
    generated = requests * (1 if truth.mode is TruthMode.PREFILL else truth.output_tokens)
    return Work(prompt=prompt, generated=generated)


def pod_rates(fleet: SimFleet, pod: SimPod) -> Work:
    """Rates of the devices that the pod holds."""
    held = fleet.held_by(pod.key)
    return rates(pod.truth, sum(peak(slot.device, pod.truth.precision) for slot in held)) if held else Work()


def text(fleet: SimFleet, key: str, now: float) -> str:
    """Metrics page of the pod `namespace/name`; KeyError for an unknown pod; empty where it reports nothing."""
    pod = fleet.pods[key]
    if pod.truth.mfu == 0 or not pod.truth.metric:
        return ""
    work = shown(fleet, pod, now)
    if pod.truth.mode is TruthMode.TRAINING:
        return _training_page(fleet, pod, work)
    return _serving_page(fleet, pod, work, running=pod.truth.running(now - pod.started))


def shown(fleet: SimFleet, pod: SimPod, now: float) -> Work:
    """Tokens that the pod's counters show at `now`: the whole workload's where it reports those, else its own."""
    rate, seconds = _reported(fleet, pod), _wander(max(0.0, now - pod.started))
    return Work(
        pod.done.trained + rate.trained * seconds,
        pod.done.prompt + rate.prompt * seconds,
        pod.done.generated + rate.generated * seconds,
    )


def replant(fleet: SimFleet, key: str, truth: Truth, now: float) -> None:
    """Another truth from now on: counters go on from where they are. KeyError, InvalidPlan."""
    pod = fleet.pods[key]
    fleet.swap(replace(pod, truth=truth, started=now, done=shown(fleet, pod, now)))


def _reported(fleet: SimFleet, pod: SimPod) -> Work:
    if not (pod.truth.total and pod.truth.mode is TruthMode.TRAINING):
        return pod_rates(fleet, pod)
    return Work(trained=sum(pod_rates(fleet, member).trained for member in fleet.workload_pods(pod.workload)))


def _wander(seconds: float) -> float:
    angle = 2 * math.pi * seconds / _RIPPLE_PERIOD_SECONDS
    return max(0.0, seconds + _RIPPLE * _RIPPLE_PERIOD_SECONDS / (2 * math.pi) * math.sin(angle))


def _training_page(fleet: SimFleet, pod: SimPod, work: Work) -> str:
    per_step = pod.truth.step_tokens
    trained = math.floor(work.trained / per_step) * per_step if per_step else math.floor(work.trained)
    lines = _family(pod.truth.metric, "counter", "Tokens trained on.", {"": trained})
    if per_step:
        seconds = per_step / _reported(fleet, pod).trained
        lines += _family("train_steps_total", "counter", "Optimizer steps done.", {"": trained // per_step})
        lines += _family("train_last_step_seconds", "gauge", "Time of the last step.", {"": seconds})
    return "\n".join(lines) + "\n"


def _serving_page(fleet: SimFleet, pod: SimPod, work: Work, *, running: int) -> str:
    """vLLM's names and labels (V1 engine): counters of tokens, the batch, the queue and latency sums."""
    truth, rate = pod.truth, pod_rates(fleet, pod)
    labels = f'{{model_name="{truth.model}",engine="0"}}'
    requests = work.prompt / truth.input_tokens or work.generated / truth.output_tokens
    prompt, generated = math.floor(work.prompt), math.floor(work.generated)
    iterations = max(1, math.floor(work.generated / truth.concurrency + work.prompt / _BATCH_TOKENS_CAP))
    decode_seconds = truth.concurrency / rate.generated if rate.generated else 0.0
    counter, gauge = "counter", "gauge"
    rows = [
        ("vllm:prompt_tokens_total", counter, "Number of prefill tokens processed.", prompt),
        ("vllm:prompt_tokens_cached_total", counter, "Number of prompt tokens taken from a cache.", 0),
        ("vllm:generation_tokens_total", counter, "Number of generation tokens processed.", generated),
        ("vllm:num_preemptions_total", counter, "Cumulative number of preemption from the engine.", 0),
        ("vllm:num_requests_running", gauge, "Number of requests in model execution batches.", running),
        ("vllm:num_requests_waiting", gauge, "Number of requests waiting to be processed.", 0),
        ("vllm:kv_cache_usage_perc", gauge, "KV-cache usage. 1 means 100 percent usage.", 0.45),
    ]
    lines = [line for name, kind, note, value in rows for line in _family(name, kind, note, {labels: value})]
    lines += _histogram("vllm:iteration_tokens_total", labels, prompt + generated, iterations)
    for name, mean in (("request_time_per_output_token", decode_seconds), ("time_to_first_token", truth.ttft_seconds)):
        lines += _latencies(f"vllm:{name}_seconds", labels, mean, requests)
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, note: str, samples: dict[str, float]) -> list[str]:
    values = [f"{name}{labels} {value!r}" for labels, value in samples.items()]
    return [f"# HELP {name} {note}", f"# TYPE {name} {kind}", *values]


_BOUNDS: Final = (0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 40.0)
"""Some of vLLM's for the time to the first token."""
_SPREAD: Final = 0.25
"""Standard deviation of the logarithm of planted latencies."""


def within(bound: float, mean_seconds: float) -> float:
    """Share of requests up to `bound`: log-normal around the planted mean. `within(0.2, 0.2)` is 0.55."""
    if mean_seconds <= 0:
        return 1.0
    middle = math.log(mean_seconds) - _SPREAD**2 / 2
    return 0.5 * (1 + math.erf((math.log(bound) - middle) / (_SPREAD * math.sqrt(2))))


def _latencies(name: str, labels: str, mean: float, requests: float) -> list[str]:
    """A histogram of latencies with vLLM's form."""
    whole = math.floor(requests)
    counts = [(f"{bound!r}", math.floor(whole * within(bound, mean))) for bound in _BOUNDS]
    buckets = [f'{name}_bucket{labels[:-1]},le="{bound}"}} {count}' for bound, count in (*counts, ("+Inf", whole))]
    total = [f"{name}_sum{labels} {whole * mean!r}", f"{name}_count{labels} {whole}"]
    return [f"# TYPE {name} histogram", *buckets, *total]


def _histogram(name: str, labels: str, total: float, count: float) -> list[str]:
    """Sum and count, with the one bucket that a histogram must have."""
    whole = math.floor(count)
    bucket = f'{labels[:-1]},le="+Inf"}}'
    return [
        f"# TYPE {name} histogram",
        f"{name}_bucket{bucket} {whole}",
        f"{name}_sum{labels} {float(total)!r}",
        f"{name}_count{labels} {whole}",
    ]

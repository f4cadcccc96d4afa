"""From the time of a step to what a benchmark or an operator sees: static batches and continuous batching."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mfu.predict.inference.capacity import batch_that_fits, one_request_fits
from mfu.predict.inference.case import UNBOUNDED, ServingCase
from mfu.predict.inference.constants import ServingConstants
from mfu.predict.inference.kernels import ServingStep, StepTime, blend, step_time, with_bubble
from mfu.predict.inference.shape import Number

_CERTAIN = 1.0 - 1e-12
_MOST_BUSY = 0.95
"""Beyond it the wait has no steady state; the closed loop of a benchmark bounds it instead."""


@dataclass(frozen=True, slots=True)
class Served:
    """Steady state of one replica. Rates count all its GPUs; `step` is the mean step while a request is served."""

    ttft_seconds: Number
    tpot_seconds: Number
    output_tokens_per_s: Number
    input_tokens_per_s: Number
    batch: Number
    """Requests in flight: decoding, or in the prompt batch of a prefill server."""
    step: StepTime
    step_seconds: Number
    """Pace of `step`, the engine's factor and speculation's extra tokens not yet taken out."""
    decode_share: Number
    """Part of the step that would remain without prompts."""
    undisturbed_seconds: Number
    """TPOT without the prompts of others."""


def prefill(case: ServingCase, requests: Number, constants: ServingConstants) -> Served:
    """`requests` prompts that arrive together; the first token comes when all are read."""
    inputs, stages = case.load.input_tokens, case.stages_at_once
    spread = np.minimum(case.layout.groups, np.maximum(requests, 1.0))
    work = ServingStep(0.0, 0.0, requests * inputs, inputs / 2, requests, spread)
    step = step_time(case, work, constants)
    waves = np.maximum(requests, 1.0)
    seconds = step.total / case.speed
    first = seconds * (waves + stages - 1) / (waves * stages)
    rate = requests * inputs / first
    none = 0.0 * first
    return Served(first, none, requests / first, rate, requests, step, seconds, none, none)


def prompts_of(case: ServingCase) -> Number:
    """Prompts of one prefill batch: what was declared, else as many as the step's token budget holds in each group."""
    load = case.load
    budget = np.maximum(1.0, load.max_batch_tokens // load.input_tokens) * case.layout.groups
    return np.where(np.isfinite(load.concurrency), load.concurrency, budget)


def decode(case: ServingCase, batch: Number, constants: ServingConstants) -> Served:
    """`batch` requests in their decode phase, no prompts beside them, at the mean context of their answers."""
    load, stages = case.load, case.stages_at_once
    context = load.input_tokens + load.output_tokens / 2
    per_stage = np.maximum(batch / stages, 1.0)
    step = step_time(case, ServingStep(per_stage, context), constants)
    seconds = step.total / case.speed
    each = seconds / load.accepted
    return Served(0.0 * each, each, batch / each, 0.0 * each, batch, step, seconds, 1.0 + 0.0 * each, each)


def static_latency(case: ServingCase, batch: Number, constants: ServingConstants) -> Number:
    """Seconds to the last token of a batch that starts together; what the cache cannot hold runs in turns."""
    room = batch_that_fits(case, constants)
    fits = np.where(_runs(case, room, constants), np.clip(room, 1.0, batch), batch)
    first = prefill(case, fits, constants).ttft_seconds
    each = decode(case, fits, constants).tpot_seconds
    request: Number = first + np.maximum(case.load.output_tokens - 1, 0) * each
    return request * batch / fits


def running(case: ServingCase, constants: ServingConstants) -> Number:
    """Requests that run at once: what was declared, bounded by the cache and the engine; at least one.

    Where not even the weights fit, the cache bounds nothing: `memory.fits` says so, the rates assume enough memory.
    """
    load = case.load
    room = batch_that_fits(case, constants)
    fits = np.where(_runs(case, room, constants), np.maximum(room, 1.0), UNBOUNDED)
    slots = load.max_batch * case.layout.groups
    return np.maximum(np.minimum(np.minimum(load.concurrency, slots), fits), 1.0)


def _runs(case: ServingCase, room: Number, constants: ServingConstants) -> npt.NDArray[np.bool_]:
    """Whether the engine starts, be it with more of the card than it takes by default."""
    return np.asarray((np.asarray(room) > 0) | one_request_fits(case, constants))


def continuous(case: ServingCase, constants: ServingConstants) -> Served:
    """Steady state of `concurrency` requests that are replaced as they end.

    In the time a request is served, each request brings one prompt of I tokens, so a step carries batch · I / O prompt
    tokens on average, in chunks of at most the step's token budget. With attention groups, each group brings a chunk
    with the same chance p in each step, and all wait when one does: 1 − (1 − p)^k of steps, k the number of groups less
    what the scheduler aligns. Of those prompts one is the request's own, read before its first token: the O − 1 tokens
    after it share their steps with those of the batch − 1 others alone, none where it runs by itself.

    Where more prompt tokens come than a step holds, running requests go on decoding, a token a step, and others wait
    for their prompts: batch / k decode, so that k = 1 chunk a step keeps up with them. An engine that reads prompts
    first stops decoding instead: k steps with prompts for each token.
    """
    load, stages, groups = case.load, case.stages_at_once, case.layout.groups
    batch = running(case, constants)
    inputs, context = load.input_tokens, load.input_tokens + load.output_tokens / 2
    prompt_tokens = batch * inputs * load.accepted / np.maximum(load.output_tokens, 1)
    chunk = np.minimum(np.maximum(prompt_tokens / groups, inputs), _room_for_prompts(case, batch))
    each = prompt_tokens / (groups * chunk)
    held, halts = _held_back(case, each)
    uneven = _uneven(case, constants)
    share = _share(each, uneven)
    spread = np.minimum(each, _CERTAIN) * groups / share
    per_stage = np.maximum(batch / held / stages, 1.0)
    plain = step_time(case, ServingStep(per_stage, context), constants)
    prompts = chunk * spread / stages
    work = ServingStep(per_stage, context, prompts, inputs / 2, prompts / inputs, spread)
    mixed = step_time(case, work, constants)
    step = with_bubble(blend(plain, mixed, share, halts), stages, constants)
    seconds, rest = step.total / case.speed, np.maximum(load.output_tokens - 1, 0)
    others = each * (1.0 - 1.0 / batch) * np.maximum(load.output_tokens, 1) / np.maximum(rest, 1)
    met = _share(others, uneven)
    slowed = np.where(halts > 1.0, np.maximum(others, 1.0), 1.0)
    between = slowed * ((1 - met) * plain.total + met * mixed.total)
    pace = case.speed * load.accepted
    tpot = (between + step.bubble) / pace
    first = np.maximum(inputs / chunk, 1.0) * mixed.total / case.speed
    request = np.maximum(first, tpot) + tpot * rest
    rate = batch / held / request
    turns = np.where(np.isfinite(load.concurrency), np.maximum(load.concurrency / batch - 1.0, 0.0), 0.0)
    queue = np.minimum(
        _queue(rate / groups * (1.0 - 1.0 / batch), first), np.maximum(batch / groups - 1.0, 0.0) * first
    )
    waits = turns * request * held + (held - 1.0) * request
    ttft = constants.request_seconds + seconds / 2 + first + queue + waits
    remains, undisturbed = plain.total / step.total, (plain.total + step.bubble) / pace
    rates = (rate * load.output_tokens, rate * inputs)
    return Served(ttft, tpot, *rates, batch, step, seconds, remains, undisturbed)


def _room_for_prompts(case: ServingCase, batch: Number) -> Number:
    """Prompt tokens of a step beside the decoding requests: what they leave of its budget, and no less than where
    both keep pace (of M tokens M / (1 + O / I))."""
    load = case.load
    even = load.drafted / load.accepted * load.output_tokens / load.input_tokens
    budget = load.max_batch_tokens
    return np.maximum(budget - batch * load.drafted / case.layout.groups, budget / (1.0 + even))


def _held_back(case: ServingCase, chunks: Number) -> tuple[Number, Number]:
    """(requests over those that decode, steps over those that give a token), by the chunks that come in a step."""
    more = np.maximum(chunks, 1.0)
    first = case.load.prompts_first > 0
    return np.where(first, 1.0, more), np.where(first, more, 1.0)


def _share(each: Number, uneven: Number) -> Number:
    """Steps in which at least one of so many groups reads a prompt."""
    return np.asarray(-np.expm1(uneven * np.log1p(-np.minimum(each, _CERTAIN))))


def _uneven(case: ServingCase, constants: ServingConstants) -> Number:
    """Attention groups that bring prompts independently of one another; one where the scheduler aligns them all."""
    return np.where(case.load.aligned > 0, 1.0, case.coupled**constants.group_coupling)


def _queue(prompts_per_s: Number, seconds: Number) -> Number:
    """Mean wait behind the prompts of others that arrive at random, each read in the same time: ρ / (2 (1 − ρ)) ·
    seconds (M/D/1)."""
    busy = np.minimum(prompts_per_s * seconds, _MOST_BUSY)
    wait: Number = busy / (2 * (1 - busy)) * seconds
    return wait

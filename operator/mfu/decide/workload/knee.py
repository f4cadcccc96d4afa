"""What a training job would reach on fewer and on more GPUs, and where more stop paying: the knee.

Data-parallel ranks are added or taken away, everything else stays as declared, the global batch included: that is how
an elastic job grows, and it brings the same model. Each count is predicted; nothing is extrapolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from mfu.decide.reasons import Why
from mfu.decide.types import Decision, DecisionType, Outcome, Subject
from mfu.hardware.price import price_per_hour
from mfu.hardware.products import usual_node_gpus
from mfu.memo import memo
from mfu.predict import predict
from mfu.predict.types import Placement, Prediction, Training

TIMES: Final = (0.5, 2.0, 4.0)
"""Of the GPUs that it has or declares, beside those themselves."""
MOST_LOST: Final = 0.05
"""Of what one GPU does: a doubling that loses more is past the knee."""


@dataclass(frozen=True, slots=True)
class Size:
    """The job on so many GPUs."""

    gpus: int
    mfu: float
    tokens_per_s: float
    cost_per_million_tokens: float | None = None

    @property
    def words(self) -> str:
        """`16 GPUs 38.1 %, 0.52 per M tokens`."""
        cost = "" if self.cost_per_million_tokens is None else f", {self.cost_per_million_tokens:.3g} per M tokens"
        return f"{self.gpus} GPUs {self.mfu:.1%}{cost}"


def knee(subject: Subject) -> Decision | None:
    """None for inference, and where no other count can be predicted."""
    setup, policy = subject.setup, subject.policy
    if not isinstance(setup, Training):
        return None
    here, mfu = subject.placement.gpus, subject.expected.mfu
    others = sizes(setup, subject.placement)
    if mfu is None or not others:
        return None
    present = Size(here, mfu, subject.expected.tokens_per_s_per_gpu * here)
    found = tuple(_priced(each, subject) for each in sorted((present, *others), key=lambda each: each.gpus))
    best = advised(found)
    said = "; ".join(each.words for each in found)
    currency = "" if found[0].cost_per_million_tokens is None else f" ({policy.currency})"
    verdict = f"{best.gpus} GPUs are the most that pay" if best.gpus != here else "more would not pay"
    if best is found[-1]:
        verdict = f"up to {best.gpus} GPUs each does as much"
    past = best.gpus < here
    outcome, reason = (Outcome.SCALE, Why.PAST_THE_KNEE) if past else (Outcome.KEEP, Why.RIGHT_SIZED)
    message = f"expected with data-parallel ranks added or taken away{currency}: {said}; {verdict}"
    return Decision(DecisionType.SCALING, outcome, reason, message, policy.mode_of(DecisionType.SCALING), None)


def advised(found: Sequence[Size]) -> Size:
    """The last one before a doubling makes each GPU lose more than MOST_LOST.

    40.0 % on 8 GPUs, 39.5 on 16, 36.0 on 32: 16, as the next doubling loses 9 %.
    """
    best = found[0]
    for after in found[1:]:
        if after.mfu < (1.0 - MOST_LOST) * best.mfu:
            break
        best = after
    return best


@memo(most=4096)
def sizes(setup: Training, placement: Placement) -> tuple[Size, ...]:
    """Counts to which the declared layout can be stretched and on which the job fits, the fewest first."""
    found = (_at(setup, placement, times) for times in TIMES)
    return tuple(each for each in found if each is not None)


def _at(setup: Training, placement: Placement, times: float) -> Size | None:
    data = setup.parallelism.data * times
    if data < 1 or data != int(data) or setup.global_batch_size % (int(data) * setup.micro_batch_size):
        return None
    gpus = int(placement.gpus * times)
    there = replace(setup, parallelism=replace(setup.parallelism, data=int(data)))
    together = max(min(placement.gpus_per_node, gpus), min(gpus, usual_node_gpus(placement.device.gpu, gpus)))
    answer = predict(there, replace(placement, gpus=gpus, gpus_per_node=together))
    if not isinstance(answer, Prediction) or not answer.memory.fits or answer.mfu is None:
        return None
    return Size(gpus, answer.mfu, answer.tokens_per_s_per_gpu * gpus)


def _priced(size: Size, subject: Subject) -> Size:
    price = price_per_hour(subject.policy.prices, subject.placement.device, size.gpus)
    if price is None or size.tokens_per_s <= 0:
        return size
    return replace(size, cost_per_million_tokens=price / (size.tokens_per_s * 3600.0) * 1e6)

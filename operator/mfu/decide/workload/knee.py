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
from mfu.sentence import Sentence, Value, amount, joined, sentence

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

    def words(self, currency: str, *, present: bool) -> Sentence:
        """`16 GPUs (as it is) 38.1% MFU, 187,000 tokens/s, $0.52 per M tokens`."""
        paid = self.cost_per_million_tokens
        cost = "" if paid is None else sentence(", {}{} per M tokens", currency, _digits(paid))
        now = " (as it is)" if present else ""
        reached, rate = amount(self.mfu, f"{self.mfu:.1%}"), amount(self.tokens_per_s, f"{_round(self.tokens_per_s):,}")
        return sentence("{} GPUs{} {} MFU, {} tokens/s{}", self.gpus, now, reached, rate, cost)


def _digits(value: float) -> Value | str:
    return amount(value, f"{value:.3g}")


def _round(value: float) -> int:
    """To three digits: nobody expects more."""
    return int(float(f"{value:.3g}"))


def knee(subject: Subject) -> Decision | None:
    """None for inference, and where no other count can be predicted."""
    setup, policy = subject.setup, subject.policy
    if not isinstance(setup, Training):
        return None
    here, others = subject.placement.gpus, sizes(setup, subject.placement)
    if not others:
        return None
    present = Size(here, subject.expected.mfu, subject.expected.tokens_per_s_per_gpu * here)
    found = tuple(_priced(each, subject) for each in sorted((present, *others), key=lambda each: each.gpus))
    best = advised(found)
    said = joined("; ", (each.words(policy.currency, present=each.gpus == here) for each in found))
    outcome, reason = _judged(best.gpus, here)
    stretched = "Expected with data-parallel ranks added or taken away and the same global batch"
    message = sentence("{}. {}: {}", verdict(found, best, here), stretched, said)
    return Decision(DecisionType.SCALING, outcome, reason, message, policy.mode_of(DecisionType.SCALING), None)


def _judged(best: int, here: int) -> tuple[Outcome, Why]:
    """Fewer GPUs than would pay waste none of them: that is kept, and named apart from the right number."""
    if best < here:
        return Outcome.SCALE, Why.PAST_THE_KNEE
    return Outcome.KEEP, Why.BEFORE_THE_KNEE if best > here else Why.RIGHT_SIZED


def verdict(found: Sequence[Size], best: Size, here: int) -> Sentence:
    """How many pay, by how much faster the next count, or the largest, trains.

    `16 GPUs are the most that pay: 32 train only 1.82 times as fast`.
    """
    if best is found[-1]:
        if best.gpus == here:
            return sentence("each of the {} GPUs does as much as on fewer; what more would do can not be told", here)
        present = next(each for each in found if each.gpus == here)
        faster = _digits(best.tokens_per_s / present.tokens_per_s)
        looked = sentence("up to the {} that were looked at: they train {} times as fast", best.gpus, faster)
        return sentence("each of the {} GPUs pays, and so would more, {}", here, looked)
    after = found[found.index(best) + 1]
    slower = sentence("{} train only {} times as fast", after.gpus, _digits(after.tokens_per_s / best.tokens_per_s))
    if best.gpus == here:
        return sentence("more than the {} GPUs would not pay: {}", here, slower)
    pay = sentence("{} GPUs are the most that pay: {}", best.gpus, slower)
    return pay if best.gpus < here else sentence("each of the {} GPUs pays, and {}", here, pay)


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


@memo(most=8192)
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
    if not isinstance(answer, Prediction) or not answer.memory.fits:
        return None
    return Size(gpus, answer.mfu, answer.tokens_per_s_per_gpu * gpus)


def _priced(size: Size, subject: Subject) -> Size:
    price = price_per_hour(subject.policy.prices, subject.placement.device, size.gpus)
    if price is None:
        return size
    return replace(size, cost_per_million_tokens=price / (size.tokens_per_s * 3600.0) * 1e6)

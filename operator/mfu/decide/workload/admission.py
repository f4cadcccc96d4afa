"""Should it start as declared? What is known is gathered, checks are asked in order, the first that objects answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mfu.api.recommendations import RecommendationKind as Kind
from mfu.decide.reasons import Why
from mfu.decide.recommend.recommended import first_of
from mfu.decide.scale import attainable_on_scale, on_scale
from mfu.decide.types import Decision, DecisionType, Outcome, Subject
from mfu.decide.workload.remedy import MOST_TIMES, joined_gpus, remedy
from mfu.predict.inference.slo import misses
from mfu.predict.types import Inference, Prediction
from mfu.sentence import Sentence, Value, amount, joined, sentence
from mfu.units import gibibytes, percent

CLEARLY_FASTER: Final = 1.05 / 0.95
"""Another product is named from here on: two predictions may each be off by 5 %."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the checks look at."""

    subject: Subject
    reached: float | None
    """Expected, on the scale that the workload is judged on (0–1)."""
    best: float | None
    """Attainable on the same scale."""
    faster: tuple[str, Prediction] | None
    """The allowed product on which it makes most tokens/s per GPU, where that is another one."""


def gather(subject: Subject) -> Gathered:
    others = [each for each in subject.alternatives if each[1].memory.fits]
    return Gathered(
        subject,
        on_scale(subject.expected),
        attainable_on_scale(subject.expected, subject.attainable),
        max(others, key=lambda each: (each[1].tokens_per_s_per_gpu, each[0]), default=None),
    )


def admission(subject: Subject) -> Decision:
    """First check that objects is the answer; Admit when none does."""
    gathered = gather(subject)
    objection = next((found for check in CHECKS if (found := check(gathered)) is not None), None)
    if objection is not None:
        return objection
    reached, best, scale = _share(gathered.reached), _share(gathered.best), subject.expected.scale
    message = sentence("expected {} of an attainable {} {}; fits in memory", reached, best, scale)
    late = _late(subject, surely=False)
    hope = ("within the band it may keep that",) if late else ()
    return _decision(gathered, Outcome.ADMIT, Why.EXPECTED_NEAR_ATTAINABLE, joined("; ", (message, *late, *hope)))


def _memory(gathered: Gathered) -> Decision | None:
    """Held while a change would make it fit, refused where none would. The change is predicted before it is named."""
    subject, memory = gathered.subject, gathered.subject.expected.memory
    if memory.fits:
        return None
    needs = sentence(
        "needs {} per GPU but {} has {}; largest term is {}",
        _size(memory.total_bytes),
        subject.placement.device.label,
        gibibytes(memory.capacity_bytes),
        memory.largest_term,
    )
    if gathered.faster is not None:
        product, other = gathered.faster
        message = sentence("{}; fits as it is on {} ({} per GPU)", needs, product, _size(other.memory.total_bytes))
        return _decision(gathered, Outcome.HOLD, Why.OUT_OF_MEMORY, message)
    found = remedy(subject.setup, subject.placement)
    if found is not None:
        return _decision(gathered, Outcome.HOLD, Why.OUT_OF_MEMORY, joined("; ", (needs, found.words)))
    most = subject.placement.gpus * MOST_TIMES
    message = sentence("{}; no layout fits on up to {} of these GPUs: take a product with more memory", needs, most)
    return _decision(gathered, Outcome.REFUSE, Why.FITS_NOWHERE, message)


def _intent(gathered: Gathered) -> Decision | None:
    """A layout that the hardware can not serve well: tensor parallelism exchanges activations in every layer."""
    subject = gathered.subject
    tensor, together = subject.setup.parallelism.tensor, joined_gpus(subject.placement)
    if tensor <= together:
        return None
    message = (
        f"tensor parallel {tensor} leaves the NVLink domain of {together} GPUs that {subject.placement.device.label} "
        f"has: {_narrower(subject) or f'lower parallelism.tensor to {together} or less, and raise pipeline or data'}"
    )
    return _decision(gathered, Outcome.WARN, Why.TENSOR_LEAVES_DOMAIN, message)


def _narrower(subject: Subject) -> str | None:
    """The layout that is recommended, where one is."""
    steps = (each.step for each in subject.recommended)
    return next((each.action for each in steps if "parallelism" in each.field), None)


def _objective(gathered: Gathered) -> Decision | None:
    """A latency that even the fast end of the band does not keep."""
    late = _late(gathered.subject, surely=True)
    if not late:
        return None
    cure = first_of(gathered.subject.recommended, Kind.OBJECTIVE)
    advice = (cure.step.action,) if cure else ()
    return _decision(gathered, Outcome.HOLD, Why.MISSES_OBJECTIVE, joined("; ", (*late, *advice)))


def _late(subject: Subject, *, surely: bool) -> tuple[Sentence, ...]:
    setup = subject.setup
    return misses(setup, subject.expected, surely=surely) if isinstance(setup, Inference) else ()


def _floor(gathered: Gathered) -> Decision | None:
    subject, reached, best = gathered.subject, gathered.reached, gathered.best
    if best is None or reached is None or subject.attainable is None:
        message = "attainable is not known, so nothing is held back"
        return _decision(gathered, Outcome.ADMIT, Why.ATTAINABLE_UNKNOWN, message)
    floor = subject.policy.expected_of_attainable
    if reached >= floor * best:
        return None
    first = next(iter(subject.attainable.changes), None)
    advice = f"; change {first.field} {first.before} → {first.after} first" if first else ""
    message = sentence(
        "expected {} {} is under {} of the attainable {}{}",
        _share(reached),
        subject.expected.scale,
        percent(floor, 0),
        _share(best),
        advice,
    )
    return _decision(gathered, Outcome.HOLD, Why.FAR_BELOW_ATTAINABLE, message)


def _product(gathered: Gathered) -> Decision | None:
    """By tokens/s, never by MFU: an A10 at 60 % is no better than an H100 at 40 %."""
    subject, faster = gathered.subject, gathered.faster
    if faster is None or not subject.assigned or subject.expected.tokens_per_s_per_gpu <= 0:
        return None
    gain = faster[1].tokens_per_s_per_gpu / subject.expected.tokens_per_s_per_gpu
    if gain < CLEARLY_FASTER:
        return None
    message = sentence(
        "runs on {}; {}, which the spec allows, is expected to make {} times the tokens/s per GPU",
        subject.placement.device.label,
        faster[0],
        amount(gain, f"{gain:.1f}"),
    )
    return _decision(gathered, Outcome.WARN, Why.FASTER_PRODUCT_ALLOWED, message)


CHECKS: Final[tuple[Callable[[Gathered], Decision | None], ...]] = (_memory, _intent, _objective, _floor, _product)
"""What can not run, what is declared wrong, what comes too late, what wastes, what could do better. Whether such a
place exists and who holds it is asked of the ledger, after all workloads are known (`decide/fleet`)."""


def _decision(gathered: Gathered, outcome: Outcome, reason: Why, message: str) -> Decision:
    mode = gathered.subject.policy.mode_of(DecisionType.ADMISSION)
    return Decision(DecisionType.ADMISSION, outcome, reason, message, mode)


def _share(fraction: float | None) -> Value | str:
    return amount(fraction, percent(fraction))


def _size(size_bytes: float) -> Value | str:
    return amount(size_bytes, gibibytes(size_bytes))

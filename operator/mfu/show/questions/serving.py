"""Is my inference limited by its batch, or by how its requests vary?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from mfu.api.causes import Cause
from mfu.api.modelworkload import Mode
from mfu.api.workload_status import Loss, Summary
from mfu.show.facts import Fact
from mfu.show.figures import number, share
from mfu.show.questions.answer import Answer, loss_to, why_unknown
from mfu.show.waterfall import best_observed
from mfu.show.workloads import Listed

QUESTION = "Is inference limited by batch or by request variability?"
_CAUSES: Final = {
    Cause.LOW_CONCURRENCY: ("Batch", "too few requests are in flight at once"),
    Cause.REQUEST_VARIABILITY: (
        "Variability",
        "requests come in waves, so that batches are full at one time and empty at another",
    ),
    Cause.KV_CACHE_PRESSURE: ("Cache", "the key-value cache is full before the batch is"),
}


def serving(workloads: Sequence[Listed]) -> Iterator[Answer]:
    return (_answer(each) for each in workloads if each.mode == Mode.INFERENCE)


def _answer(workload: Listed) -> Answer:
    status = workload.status
    found = {cause: loss for cause in _CAUSES if (loss := loss_to(status, cause))}
    if not found:
        return _neither(workload)
    cause = max(found, key=lambda each: number(found[each].share) or 0.0)
    verdict, words = _CAUSES[cause]
    others = [f"{each} takes {_taken(loss)}" for each, loss in found.items() if each is not cause]
    beside = f"; {', '.join(others)}" if others else ""
    sentence = f"{verdict}: {words}; that takes {_taken(found[cause])} of the peak{beside}."
    return Answer(QUESTION, workload.key, verdict, sentence, tuple(_evidence(found[cause])))


def _taken(loss: Loss) -> str:
    return share(number(loss.share))


def _evidence(loss: Loss) -> Iterator[Fact]:
    if loss.evidence:
        yield Fact("evidence", loss.evidence)
    mended = number(loss.counterfactual_mfu)
    if mended is not None:
        yield Fact("mended", f"{share(mended)} MFU")
    if loss.action:
        yield Fact("do", loss.action)
    if loss.confidence:
        yield Fact("confidence", loss.confidence)


def _neither(workload: Listed) -> Answer:
    status, said = workload.status, workload.status.summary or Summary()
    if best_observed(status) is None:
        sentence = f"Unknown: {why_unknown(status)}."
        return Answer(QUESTION, workload.key, "Unknown", sentence)
    levels = f"it reaches {said.observed} {said.scale} of an expected {said.expected}"
    sentence = (
        f"Neither: {levels}, and nothing measured points at the batch or at the requests; main cause {said.cause}."
    )
    return Answer(QUESTION, workload.key, "Neither", sentence)

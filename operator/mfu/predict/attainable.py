"""The best that the same model can reach on the same GPUs after changes that the workload allows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mfu.hardware import catalog
from mfu.hardware.types import Precision
from mfu.memo import memo
from mfu.predict.learnkeys import correction_of, key_of
from mfu.predict.training.arrays import TrainingLayout
from mfu.predict.training.case import case_of, state_bytes
from mfu.predict.training.constants import shipped
from mfu.predict.training.engines import engine
from mfu.predict.training.layouts import MODES, SHARDINGS, LayoutLimits, Ranked, Space, evaluate, table
from mfu.predict.training.predict import predict_training, what_matters
from mfu.predict.training.stack import autocast, fused_share
from mfu.predict.types import (
    Attainable,
    Change,
    Compilation,
    Correction,
    Corrections,
    Parallelism,
    Placement,
    Prediction,
    Problem,
    Sharding,
    Training,
    Tunable,
)

_FASTER = (Precision.FP8,)
"""Precisions that a workload with tunable precision may move to."""
_WORTH = 1e-3
_HAIR = 5e-3
"""Gains below this are inside the noise of repeated runs (1-3 %): not worth another change."""


@dataclass(frozen=True, slots=True)
class TunableField:
    """One part of the setting that a change can touch, as people write it."""

    name: str
    attributes: tuple[str, ...]

    def text(self, setup: Training) -> str:
        if self.name == "parallelism":
            return cut_text(setup.parallelism)
        if self.name == "precision.compute":
            formats = setup.precisions
            wide = f" weights {formats.weights.value}" if autocast(setup) else ""
            return f"{formats.compute.value}{wide}"
        if self.name == "runtime.compilation":
            return "None" if setup.compilation is None else setup.compilation.value
        return str(getattr(setup, self.attributes[0]))

    def apply(self, to: Training, of: Training) -> Training:
        return replace(to, **{name: getattr(of, name) for name in self.attributes})


FIELDS = (
    TunableField("precision.compute", ("precisions",)),
    TunableField("runtime.compilation", ("compilation",)),
    TunableField("recompute", ("recompute",)),
    TunableField("microBatchSize", ("micro_batch_size",)),
    TunableField("sharding", ("sharding",)),
    TunableField("parallelism", ("parallelism",)),
)


def attainable_training(
    setup: Training, placement: Placement, tunable: frozenset[Tunable], corrections: Corrections | None = None
) -> Attainable | Problem:
    """Best setting within `tunable` by tokens/s, never slower than the declared one, and how to get there."""
    return _attainable(setup, placement, tunable, correction_of(setup, placement, corrections))


@memo(most=8192)
def _attainable(
    setup: Training, placement: Placement, tunable: frozenset[Tunable], correction: Correction
) -> Attainable | Problem:
    """Kept by what it depends on: a cycle asks for the same ones again."""
    corrections = Corrections({key_of(setup, placement): correction})
    declared = predict_training(setup, placement, corrections)
    if isinstance(declared, Problem):
        return declared
    found = best_setup(what_matters(setup), placement, tunable)
    best = replace(needed(setup, found, placement, corrections), total_tokens=setup.total_tokens)
    reached = predict_training(best, placement, corrections)
    if isinstance(reached, Problem) or reached.tokens_per_s_per_gpu <= declared.tokens_per_s_per_gpu * (1 + _WORTH):
        return Attainable(declared, setup)
    return Attainable(reached, best, changes(setup, best, placement, corrections))


@memo(most=16384)
def best_setup(setup: Training, placement: Placement, tunable: frozenset[Tunable]) -> Training:
    """The fastest setting that fits; the declared one where nothing allowed is faster."""
    found = [
        candidate
        for each in _choices(setup, placement, tunable)
        if (candidate := _fastest(each, placement, tunable)) is not None
    ]
    return min(found, key=lambda pair: pair[0])[1] if found else setup


def needed(setup: Training, best: Training, placement: Placement, corrections: Corrections | None) -> Training:
    """The best setting with every field put back to its declared value that brings next to nothing."""
    reached = predict_training(best, placement, corrections)
    for each in FIELDS:
        kept = each.apply(best, setup)
        without = predict_training(kept, placement, corrections)
        if kept == best or isinstance(without, Problem) or isinstance(reached, Problem):
            continue
        enough = without.tokens_per_s_per_gpu >= reached.tokens_per_s_per_gpu * (1.0 - _HAIR)
        if enough and (without.memory.fits or not reached.memory.fits):
            best, reached = kept, without
    return best


def _choices(setup: Training, placement: Placement, tunable: frozenset[Tunable]) -> list[Training]:
    """The declared job under every number format and way of running its small operators that may be tried."""
    return [each for format in _formats(setup, placement, tunable) for each in _runtimes(format, tunable)]


def _runtimes(setup: Training, tunable: frozenset[Tunable]) -> list[Training]:
    """Compiling a plain PyTorch program changes neither numbers nor layout; it may be tried where anything may be."""
    plain = engine(setup.engine).framework and fused_share(setup) < 1.0
    return [setup, replace(setup, compilation=Compilation.FULL)] if plain and tunable else [setup]


def _formats(setup: Training, placement: Placement, tunable: frozenset[Tunable]) -> list[Training]:
    if Tunable.PRECISION not in tunable:
        return [setup]
    formats = setup.precisions
    faster = [each for each in _FASTER if catalog.device_peak(placement.device, each)]
    found = [setup, *(replace(setup, precisions=replace(formats, compute=each)) for each in faster)]
    if autocast(setup):
        found.append(replace(setup, precisions=replace(formats, weights=formats.compute)))
    return found


def _fastest(setup: Training, placement: Placement, tunable: frozenset[Tunable]) -> tuple[float, Training] | None:
    case = case_of(setup, placement, shipped())
    if case is None:
        return None
    ranked = evaluate(case, table(limits_of(setup, placement), space_of(setup, tunable)), shipped())
    index = ranked.best()
    if index is None:
        return None
    index = _least_changed(ranked, index, case.layout)
    return float(ranked.step.seconds[index]), setup_at(setup, ranked, index)


def _least_changed(ranked: Ranked, best: int, declared: TrainingLayout) -> int:
    """Of the layouts within a hair of the best, the one that changes the fewest fields of the declared one."""
    seconds = ranked.ranking_seconds
    close = ranked.fits & (seconds <= seconds[best] * (1.0 + _HAIR))
    layout = ranked.case.layout
    changed = np.zeros(len(seconds))
    for name in _ROW:
        changed += np.asarray(getattr(layout, name)) != np.asarray(getattr(declared, name))
    return int(np.lexsort((seconds, np.where(close, changed, np.inf)))[0])


def limits_of(setup: Training, placement: Placement) -> LayoutLimits:
    """What layouts of this job have to divide."""
    arch = setup.architecture
    return LayoutLimits(
        gpus=placement.gpus,
        gpus_per_node=placement.gpus_per_node,
        layers=arch.layers,
        heads=arch.heads,
        experts=arch.moe.experts if arch.moe else 0,
        sequence_length=setup.sequence_length,
        global_batch_size=setup.global_batch_size,
        optimizer_bytes=state_bytes(setup),
    )


def space_of(setup: Training, tunable: frozenset[Tunable]) -> Space:
    """The declared value of everything that `tunable` does not name. Sharding moves with the layout."""
    free = Tunable.LAYOUT in tunable
    return Space(
        cuts=() if free else (setup.parallelism,),
        micro_batches=() if Tunable.MICRO_BATCH in tunable else (setup.micro_batch_size,),
        recompute=MODES if Tunable.RECOMPUTE in tunable else (setup.recompute,),
        shardings=tuple(dict.fromkeys((*_known(setup), *Space().shardings))) if free else _known(setup),
    )


def _known(setup: Training) -> tuple[Sharding, ...]:
    return (setup.sharding,) if setup.sharding in SHARDINGS else (Sharding.ZERO3,)


def setup_at(setup: Training, ranked: Ranked, index: int) -> Training:
    """The setup that one row of a ranking stands for."""
    layout = ranked.case.layout
    at = {name: int(np.asarray(getattr(layout, name))[index]) for name in _ROW}
    cut = Parallelism(at["tensor"], at["pipeline"], at["context"], at["data"], at["expert"], at["virtual"])
    return replace(
        setup,
        parallelism=cut,
        micro_batch_size=at["micro_batch"],
        recompute=MODES[at["recompute"]],
        sharding=setup.sharding if setup.sharding not in SHARDINGS else SHARDINGS[at["zero"]],
    )


_ROW = ("tensor", "pipeline", "context", "data", "expert", "virtual", "micro_batch", "recompute", "zero")


def changes(
    declared: Training, best: Training, placement: Placement, corrections: Corrections | None
) -> tuple[Change, ...]:
    """Steps from declared to best, the one that brings most first; what is only possible together comes together."""
    current, steps = declared, []
    open_fields = [each for each in FIELDS if each.text(declared) != each.text(best)]
    base = _must(predict_training(declared, placement, corrections))
    before = base
    while open_fields:
        options = [(each, predict_training(each.apply(current, best), placement, corrections)) for each in open_fields]
        possible = [
            (each, found)
            for each, found in options
            if isinstance(found, Prediction) and (found.memory.fits or not base.memory.fits)
        ]
        if not possible:
            reached = _must(predict_training(best, placement, corrections))
            steps.append(_together(open_fields, current, best, (base, before, reached)))
            break
        chosen, after = max(possible, key=lambda pair: pair[1].tokens_per_s_per_gpu)
        if after.tokens_per_s_per_gpu < before.tokens_per_s_per_gpu and len(open_fields) > 1:
            reached = _must(predict_training(best, placement, corrections))
            steps.append(_together(open_fields, current, best, (base, before, reached)))
            break
        texts, current = (chosen.text(current), chosen.text(best)), chosen.apply(current, best)
        steps.append(_change(chosen.name, texts, (base, before, after), current))
        before = after
        open_fields.remove(chosen)
    return tuple(steps)


def _together(
    fields: list[TunableField],
    current: Training,
    best: Training,
    predictions: tuple[Prediction, Prediction, Prediction],
) -> Change:
    names = " + ".join(each.name for each in fields)
    texts = ", ".join(each.text(current) for each in fields), ", ".join(each.text(best) for each in fields)
    return _change(names, texts, predictions, best)


def _change(
    name: str, texts: tuple[str, str], predictions: tuple[Prediction, Prediction, Prediction], setting: Training
) -> Change:
    """`predictions`: of the declared setting, before and after the step. Gains are shares of declared and add up."""
    base, before, after = predictions
    gain = (after.tokens_per_s_per_gpu - before.tokens_per_s_per_gpu) / base.tokens_per_s_per_gpu
    return Change(name, texts[0], texts[1], gain, after.mfu - before.mfu, setting)


def _must(found: Prediction | Problem) -> Prediction:
    if isinstance(found, Problem):
        raise ValueError(str(found))
    return found


def cut_text(cut: Parallelism) -> str:
    """Degrees above 1 in words: `"tensor 4 pipeline 2 data 8"`."""
    parts = {
        "tensor": cut.tensor,
        "pipeline": cut.pipeline,
        "context": cut.context,
        "data": cut.data,
        "expert": cut.expert,
        "virtual": cut.virtual_pipeline,
    }
    return " ".join(f"{name} {size}" for name, size in parts.items() if size > 1) or "none"

"""What runs fits where it runs: an adopted declaration that does not was put together of something that is not so."""

from __future__ import annotations

from typing import Final

from mfu.adopt.draft import Draft
from mfu.adopt.findings import Certainty
from mfu.api.modelworkload import ModelWorkload
from mfu.cli.declaration import Declaration, declaration_of, place
from mfu.cli.errors import UsageError
from mfu.predict import predict
from mfu.predict.types import Problem
from mfu.units import gibibytes

_WEIGHS: Final = (
    "precision.weights",
    "precision.compute",
    "training.microBatchSize",
    "training.sequenceLength",
    "training.sharding",
    "training.recompute",
    "inference.parallelism.tensor",
)
"""What is assumed where nothing says it, and takes memory."""


def doubt(draft: Draft) -> str | None:
    """A sentence where the declaration could not run on any product that the object itself names."""
    if not draft.complete or not draft.document["spec"]["accelerators"].get("products"):
        return None
    try:
        workload = ModelWorkload.model_validate(dict(draft.document))
        declaration = declaration_of(draft.name, workload)
        said = [_said(declaration, product) for product in workload.spec.accelerators.products]
    except (ValueError, UsageError) as error:
        return f"cannot be predicted as written: {error}"
    if any(each is None for each in said):
        return None
    assumed = [each.field for each in draft.lines if each.certainty is Certainty.ASSUMED and each.field in _WEIGHS]
    correct = f"; correct what was assumed: {', '.join(dict.fromkeys(assumed))}" if assumed else ""
    return f"as written it could not run where it does ({'; '.join(filter(None, said))}){correct}"


def _said(declaration: Declaration, product: str) -> str | None:
    found = predict(declaration.setup, place(declaration, product))
    if isinstance(found, Problem):
        return f"{product}: spec.{found}"
    memory = found.memory
    if memory.fits:
        return None
    needed, there = gibibytes(memory.total_bytes), gibibytes(memory.capacity_bytes)
    return f"{product}: {needed} of {there} a GPU, most of it {memory.largest_term}"

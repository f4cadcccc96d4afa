"""The ModelWorkload of a file, for the commands that need no cluster."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import inf
from pathlib import Path

from mfu.api.files import InvalidResource, parse
from mfu.api.modelworkload import ModelWorkload, WorkloadSpec
from mfu.cli.errors import UsageError
from mfu.cli.files import read_text
from mfu.hardware import catalog
from mfu.hardware.types import Unmatched
from mfu.predict.declared import from_spec, placement_for, refused
from mfu.predict.types import Placement, Problem, Setup


@dataclass(frozen=True, slots=True)
class Declaration:
    """One declared workload and what it means to the model."""

    name: str
    spec: WorkloadSpec
    setup: Setup


def read(path: str) -> tuple[Declaration, ...]:
    """Every ModelWorkload of a YAML or JSON file, "-" for standard input. UsageError names the field and the fix."""
    try:
        resources = parse(sys.stdin.read() if path == "-" else read_text(Path(path)))
    except InvalidResource as error:
        raise UsageError(f"{path}: {error}") from error
    found = tuple(declaration_of(path, each) for each in resources if isinstance(each, ModelWorkload))
    if not found:
        raise UsageError(f"{path}: holds no ModelWorkload")
    return found


def declaration_of(path: str, workload: ModelWorkload) -> Declaration:
    """What it means to the model; `path` names one without a name. UsageError names the field and the fix."""
    name = workload.metadata.name or path
    wrong = refused(workload.spec)
    if wrong is not None:
        raise UsageError(f"{name}: spec.{wrong}")
    setup = from_spec(workload.spec)
    if isinstance(setup, Problem):
        raise UsageError(f"{name}: spec.{setup}")
    return Declaration(name, workload.spec, setup)


def products_of(spec: WorkloadSpec, asked: list[str] | None) -> tuple[str, ...]:
    """Products to look at: those asked for, else those declared, else every one that has the precision."""
    if asked:
        found = tuple(known_product(name) for each in asked for name in each.split(",") if name)
        if not found:
            raise UsageError("--product: is empty; name one, such as H100-SXM5 (`mfu gpus` lists them)")
        return found
    if spec.accelerators.products:
        return spec.accelerators.products
    wanted = spec.precision.compute
    return tuple(gpu.api_name for gpu in catalog.load().gpus.values() if gpu.peak_flops_per_s(wanted) is not None)


def known_product(name: str) -> str:
    """The product's API name. UsageError with the nearest names for one that does not exist."""
    gpu = catalog.load().by_api_name(name)
    if isinstance(gpu, Unmatched):
        nearest = f"; did you mean {', '.join(gpu.nearest)}?" if gpu.nearest else "; `mfu gpus` lists them"
        raise UsageError(f"product {name!r} is not known{nearest}")
    return gpu.api_name


def place(declaration: Declaration, product: str, *, gpus: int | None = None, node: int | None = None) -> Placement:
    """Where it would run on that product. UsageError where it cannot."""
    found = placement_for(declaration.spec, product, gpus=gpus, gpus_per_node=node)
    if isinstance(found, Problem):
        raise UsageError(f"{declaration.name}: spec.{found}")
    return found


def prices(given: list[str] | None) -> dict[str, float]:
    """`["H100-SXM5=2.99"]` as dollars per GPU-hour by product."""
    found: dict[str, float] = {}
    for each in (part for text in given or () for part in text.split(",") if part):
        name, _, amount = each.partition("=")
        try:
            value = float(amount)
        except ValueError:
            value = -1.0
        if not 0.0 <= value < inf:
            raise UsageError(f"--price {each!r}: write PRODUCT=DOLLARS per GPU-hour, such as H100-SXM5=2.99")
        found[known_product(name)] = value
    return found

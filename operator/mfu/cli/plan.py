"""`mfu plan -f workload.yaml`: which GPUs, how many, which layout, ranked by one objective and against today."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from mfu.cli import picture
from mfu.cli.calibrate import add_stack, stack_of
from mfu.cli.declaration import Declaration, place, prices, products_of, read
from mfu.cli.errors import UsageError
from mfu.cli.output import add_output, console, positive, print_document, print_line, print_table
from mfu.hardware.types import Precision
from mfu.predict.plan import Choice, Nothing, Objective, Option, best_on, explained, options, ranked, today
from mfu.predict.serving_plan import best_serving, serving_today
from mfu.predict.types import Corrections, Inference, Problem, Training, Tunable
from mfu.predict.validate.rows import precision_of
from mfu.units import gibibytes, money, percent

COLUMNS = ("", "PRODUCT", "GPUS", "PRECISION", "MFU", "TOKENS/S", "MEMORY", "HOURS", "COST", "$/M TOKENS", "SETTING")
_RIGHT = frozenset({"GPUS", "MFU", "TOKENS/S", "HOURS", "COST", "$/M TOKENS"})
_SLOW_SECONDS = 1.0
_DEFAULT_ROWS = 10


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("plan", help="search GPU type, count and layout", description=__doc__)
    parser.add_argument("-f", "--file", required=True, help="ModelWorkload as YAML or JSON; - reads standard input")
    parser.add_argument(
        "--products", action="append", help="GPU products, comma-separated; default: the file's, else all"
    )
    parser.add_argument("--gpus", help="GPU counts, comma-separated; default: the file's")
    parser.add_argument("--precisions", help="compute precisions, comma-separated; default: the file's, FP8 if tunable")
    parser.add_argument("--objective", choices=tuple(Objective), default=Objective.TIME, help="default: time")
    parser.add_argument("--price", action="append", metavar="PRODUCT=$/H", help="dollars per GPU-hour, may repeat")
    parser.add_argument("--top", type=positive, default=_DEFAULT_ROWS, help=f"rows to show, default {_DEFAULT_ROWS}")
    parser.add_argument("--plot", metavar="FILE.svg", help="write a picture: the best choices, and how they scale")
    add_stack(parser)
    add_output(parser)


@dataclass(frozen=True, slots=True)
class Searched:
    """All that was looked at, best first, and the setting of today."""

    choices: tuple[Choice, ...]
    nothing: tuple[Nothing, ...]
    now: Choice | None
    now_problem: str | None
    seconds: float

    @property
    def layouts(self) -> int:
        return sum(each.layouts for each in self.choices) + sum(each.layouts for each in self.nothing)


def run(args: argparse.Namespace) -> int:
    objective, known = Objective(args.objective), prices(args.price)
    if objective is Objective.COST and not known:
        raise UsageError("--objective cost: needs --price PRODUCT=DOLLARS for the products to compare")
    declarations = read(args.file)
    if len(declarations) > 1:
        names = ", ".join(each.name for each in declarations)
        raise UsageError(f"{args.file}: holds {len(declarations)} workloads ({names}); plan one at a time")
    declaration = declarations[0]
    found = _search(declaration, args, known, objective)
    if not found.choices:
        reasons = "; ".join(dict.fromkeys(f"{_place(each.option)}: {each.reason}" for each in found.nothing))
        raise UsageError(f"{declaration.name}: nothing fits: {reasons or 'no product has the precision'}")
    if args.plot:
        _plot(args.plot, declaration, found, _Wanted(objective, args.top))
    if args.output != "table":
        print_document(_document(declaration, found, objective, args.top), args.output)
    else:
        _show(declaration, found, objective, args.top)
    return 0


def _search(
    declaration: Declaration, args: argparse.Namespace, known: dict[str, float], objective: Objective
) -> Searched:
    started = monotonic()
    looked, stack = list(_shown(_all_options(declaration, args))), stack_of(args.stack)
    found = [_best(declaration, option, known, stack) for option in looked]
    choices = ranked((each for each in found if isinstance(each, Choice)), objective)
    nothing = tuple(each for each in found if isinstance(each, Nothing))
    now, problem = _today(declaration, known, stack)
    return Searched(choices, nothing, now, problem, monotonic() - started)


def _shown(items: Sequence[Option]) -> Iterator[Option]:
    """The same options; a progress bar on the terminal once the search has taken more than a second."""
    if not sys.stderr.isatty():
        yield from items
        return
    started = monotonic()
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("searching layouts", total=len(items), visible=False)
        for item in items:
            yield item
            progress.update(task, advance=1, visible=monotonic() - started > _SLOW_SECONDS)


def _best(
    declaration: Declaration, option: Option, known: dict[str, float], stack: Corrections | None
) -> Choice | Nothing:
    setup, price = declaration.setup, known.get(option.placement.device.gpu.api_name)
    if isinstance(setup, Training):
        return best_on(setup, option, price, stack)
    return best_serving(setup, option, price, stack)


def _today(
    declaration: Declaration, known: dict[str, float], stack: Corrections | None
) -> tuple[Choice | None, str | None]:
    """The declared setting on the first declared product."""
    declared = declaration.spec.accelerators.products
    if not declared:
        return None, "the file names no product, so there is no setting of today to compare with"
    placement = place(declaration, declared[0])
    price = known.get(placement.device.gpu.api_name)
    setup = declaration.setup
    if isinstance(setup, Training):
        found = today(setup, placement, price, stack)
    else:
        found = serving_today(setup, placement, price, stack)
    return (None, f"today's setting: {found}") if isinstance(found, Problem) else (found, None)


def _all_options(declaration: Declaration, args: argparse.Namespace) -> tuple[Option, ...]:
    counts = _counts(args.gpus) or [declaration.spec.accelerators.count]
    products = products_of(declaration.spec, args.products)
    placements = [place(declaration, product, gpus=count) for product in products for count in counts]
    return options(placements, _precisions(declaration, args.precisions))


def _counts(text: str | None) -> list[int]:
    found = []
    for part in (text or "").split(","):
        if part.strip():
            if not part.strip().isdigit() or int(part) < 1:
                raise UsageError(f"--gpus {part.strip()!r}: write counts such as 64,128")
            found.append(int(part))
    return found


def _precisions(declaration: Declaration, text: str | None) -> list[Precision]:
    declared = declaration.setup.precisions.compute
    if text is None:
        tunable = Tunable.PRECISION.value in {each.value for each in declaration.spec.tunable}
        return [declared, Precision.FP8] if tunable and declared is not Precision.FP8 else [declared]
    found = []
    for part in text.split(","):
        precision = precision_of(part)
        if precision is None:
            raise UsageError(f"--precisions {part!r}: choose from {', '.join(Precision)}")
        found.append(precision)
    return found


def _show(declaration: Declaration, found: Searched, objective: Objective, count: int) -> None:
    out = console()
    rows = [_cells(str(rank), each) for rank, each in enumerate(found.choices[:count], start=1)]
    if found.now is not None:
        rows.append(_cells("today", found.now))
    print_line(out, f"{declaration.name}: {_searched(found)}; {_BEST[objective]} first")
    print_table(COLUMNS, rows, right=_RIGHT)
    if found.now is not None:
        for line in explained(found.choices[0], found.now):
            print_line(out, f"  the first against today: {line}")
    elif found.now_problem:
        out.print(found.now_problem)
    for each in found.nothing:
        out.print(f"  {_place(each.option)}: {each.reason}")


_BEST: Final = {
    Objective.MFU: "highest MFU",
    Objective.TIME: "most tokens per second",
    Objective.COST: "fewest dollars per token",
}


def _searched(found: Searched) -> str:
    """`looked at 1,935 settings of 8 × H100-SXM5 BF16 in 0.03 s`; of several places, how many."""
    places = [*(each.option for each in found.choices), *(each.option for each in found.nothing)]
    where = _place(places[0]) if len(places) == 1 else f"{len(places)} combinations of product, count and precision"
    return f"looked at {found.layouts:,} settings of {where} in {found.seconds:.2f} s"


@dataclass(frozen=True, slots=True)
class _Wanted:
    objective: Objective
    count: int


def _plot(path: str, declaration: Declaration, found: Searched, wanted: _Wanted) -> None:
    """The best choices and today as bars; where several GPU counts were searched, tokens/s over GPUs."""
    shown = [*found.choices[: wanted.count], *([found.now] if found.now else [])]
    most = max(each.tokens_per_s for each in shown)
    rows = [
        (
            f"today: {_place(each.option)}" if each is found.now else _place(each.option),
            0.0,
            each.tokens_per_s / most,
            picture.GREY if each is found.now else picture.BLUE,
            f"{picture.short(each.tokens_per_s)}/s",
        )
        for each in shown
    ]
    panels = [picture.bars(f"Tokens per second of the best setting; {_BEST[wanted.objective]} first", rows)]
    series: dict[str, list[tuple[float, float]]] = {}
    for each in sorted(found.choices, key=lambda each: each.option.placement.gpus):
        name = f"{each.option.placement.device.label} {each.option.precision.value}"
        series.setdefault(name, []).append((float(each.option.placement.gpus), each.tokens_per_s))
    several = {name: points for name, points in series.items() if len(points) > 1}
    if several:
        panels.append(picture.curve("How the best setting scales", ("GPUs", "tokens/s"), several))
    picture.write(path, f"{declaration.name}: {declaration.spec.model.display_name}", panels)


def _place(option: Option) -> str:
    return f"{option.placement.gpus} × {option.placement.device.label} {option.precision.value}"


def _cells(rank: str, choice: Choice) -> list[str]:
    prediction = choice.prediction
    fits = "" if prediction.memory.fits else " does not fit"
    return [
        rank,
        choice.option.placement.device.label,
        str(choice.option.placement.gpus),
        choice.option.precision.value,
        percent(prediction.mfu),
        f"{choice.tokens_per_s:,.0f}",
        gibibytes(prediction.memory.total_bytes) + fits,
        "-" if choice.hours is None else f"{choice.hours:,.1f}",
        "-" if choice.cost is None else money(choice.cost),
        "-" if choice.cost_per_million_tokens is None else money(choice.cost_per_million_tokens),
        choice.layout,
    ]


def _document(declaration: Declaration, found: Searched, objective: Objective, count: int) -> dict[str, Any]:
    return {
        "name": declaration.name,
        "objective": objective.value,
        "settings": found.layouts,
        "seconds": found.seconds,
        "today": None if found.now is None else _choice(found.now),
        "choices": [_choice(each) for each in found.choices[:count]],
        "explanation": list(explained(found.choices[0], found.now)) if found.now is not None else [],
        "nothing": [{"place": _place(each.option), "reason": each.reason} for each in found.nothing],
    }


def _choice(choice: Choice) -> dict[str, Any]:
    prediction, setup = choice.prediction, choice.setup
    cut = setup.parallelism
    document: dict[str, Any] = {
        "product": choice.option.placement.device.label,
        "gpus": choice.option.placement.gpus,
        "precision": choice.option.precision.value,
        "mfu": prediction.mfu,
        "mbu": prediction.mbu,
        "tokensPerSecond": choice.tokens_per_s,
        "stepSeconds": prediction.step_seconds,
        "fits": prediction.memory.fits,
        "memoryBytes": prediction.memory.total_bytes,
        "hours": choice.hours,
        "cost": choice.cost,
        "costPerMillionTokens": choice.cost_per_million_tokens,
        "parallelism": {
            "tensor": cut.tensor,
            "pipeline": cut.pipeline,
            "context": cut.context,
            "data": cut.data,
            "expert": cut.expert,
            "virtualPipeline": cut.virtual_pipeline,
        },
    }
    return {**document, **_setting(setup)}


def _setting(setup: Training | Inference) -> dict[str, Any]:
    if isinstance(setup, Training):
        return {
            "microBatchSize": setup.micro_batch_size,
            "sharding": setup.sharding.value,
            "recompute": setup.recompute.value,
        }
    return {"concurrency": setup.concurrency}

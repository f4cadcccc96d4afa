"""`mfu predict -f workload.yaml`: how fast a workload should run on each GPU product, and where the time goes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from rich.text import Text

from mfu.api.quantities import tokens
from mfu.api.recommendations import RecommendationKind
from mfu.cli.calibrate import add_stack, stack_of
from mfu.cli.declaration import Declaration, place, prices, products_of, read
from mfu.cli.errors import UsageError
from mfu.cli.network import add_network, network_note, on_network
from mfu.cli.output import add_output, bar, console, positive, print_document, print_line, print_table
from mfu.cli.predict_picture import plot
from mfu.decide.recommend.ranking import recommend
from mfu.decide.recommend.recommended import Recommended
from mfu.decide.scale import attainable_on_scale
from mfu.decide.types import EffectivePolicy, Subject
from mfu.engine.say.recommendations import recommendations
from mfu.hardware.price import PriceBook
from mfu.predict import attainable, predict
from mfu.predict.declared import tunable_of
from mfu.predict.inference import more_concurrency
from mfu.predict.inference.slo import misses
from mfu.predict.types import Attainable, Change, Corrections, Inference, Placement, Prediction, Problem, Scale, Tunable
from mfu.units import decimal, gibibytes, money, percent, points

COLUMNS = (
    "PRODUCT",
    "GPUS",
    "FITS",
    "MFU",
    "MBU",
    "BAND",
    "TOKENS/S/GPU",
    "STEP",
    "TTFT",
    "TPOT",
    "MEMORY",
    "ATTAINABLE",
    "BOUND",
    "COST",
)


@dataclass(frozen=True, slots=True)
class ProductRow:
    """One product: the prediction, and what could be reached."""

    placement: Placement
    prediction: Prediction
    best: Attainable | None
    price: float | None
    recommended: tuple[Recommended, ...] = ()


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("predict", help="expected speed of a ModelWorkload", description=__doc__)
    parser.add_argument("-f", "--file", required=True, help="ModelWorkload as YAML or JSON; - reads standard input")
    parser.add_argument(
        "--product", action="append", help="GPU product, may repeat; default: those that the file names"
    )
    parser.add_argument(
        "--gpus-per-node", type=positive, help="GPUs of one server; default: 8, or the rack's NVLink domain"
    )
    parser.add_argument(
        "--power-limit", type=positive, metavar="WATTS", help="limit of each GPU where it is below the product's own"
    )
    add_network(parser)
    parser.add_argument("--price", action="append", metavar="PRODUCT=$/H", help="dollars per GPU-hour, may repeat")
    parser.add_argument("--plot", metavar="FILE.svg", help="write a picture: waterfall, roofline, scaling curve")
    add_stack(parser)
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    known, stack = prices(args.price), stack_of(args.stack)
    declarations = read(args.file)
    if args.plot and len(declarations) > 1:
        raise UsageError(f"--plot: {args.file} holds {len(declarations)} workloads; plot one at a time")
    documents = []
    for declaration in declarations:
        rows, refusals = _rows(declaration, args, known, stack)
        if not rows:
            raise UsageError(f"{declaration.name}: " + "; ".join(f"{name}: spec.{why}" for name, why in refusals))
        if args.plot:
            plot(args.plot, declaration, [(row.placement, row.prediction) for row in rows])
        if args.output != "table":
            documents.append(_document(declaration, rows, refusals))
        else:
            named = bool(args.product or declaration.spec.accelerators.products)
            _show(declaration, rows, refusals, named=named)
    if args.output != "table":
        print_document(documents[0] if len(documents) == 1 else {"workloads": documents}, args.output)
    return 0


def _rows(
    declaration: Declaration, args: argparse.Namespace, known: dict[str, float], stack: Corrections | None
) -> tuple[list[ProductRow], list[tuple[str, Problem]]]:
    rows, refusals = [], []
    for product in products_of(declaration.spec, args.product):
        placement = place(declaration, product, node=args.gpus_per_node)
        placement = on_network(replace(placement, power_limit_watts=args.power_limit), args.network)
        found = predict(declaration.setup, placement, stack)
        if isinstance(found, Problem):
            refusals.append((product, found))
            continue
        if (assumed := network_note(declaration.setup, placement, found, stack)) is not None:
            found = replace(found, notes=(*found.notes, assumed))
        best = attainable(declaration.setup, placement, tunable_of(declaration.spec), stack)
        price = known.get(placement.device.gpu.api_name)
        row = ProductRow(placement, found, best if isinstance(best, Attainable) else None, price)
        rows.append(replace(row, recommended=_listed(declaration, row)))
    return rows, refusals


def _listed(declaration: Declaration, row: ProductRow) -> tuple[Recommended, ...]:
    """The list that the operator would give it on that product before it runs."""
    spec, setup = declaration.spec, declaration.setup
    policy = EffectivePolicy()
    return recommend(Subject(declaration.name, spec, setup, row.placement, row.prediction, row.best, None, policy))


def ordered(declaration: Declaration, rows: list[ProductRow], *, named: bool) -> list[ProductRow]:
    """As they were named; of all products first what fits and keeps its limits, then cheapest, or else fastest."""
    if named:
        return rows

    def rank(row: ProductRow) -> tuple[bool, bool, float, float]:
        rate = row.prediction.tokens_per_s_per_gpu
        dear = inf if row.price is None else row.price / rate
        return not row.prediction.memory.fits, bool(_late(declaration, row.prediction)), dear, -rate

    return sorted(rows, key=rank)


def _show(
    declaration: Declaration, rows: list[ProductRow], refusals: list[tuple[str, Problem]], *, named: bool
) -> None:
    out = console()
    model = declaration.spec.model.display_name
    mode, precision = declaration.spec.mode.value, declaration.setup.precisions.compute.value
    out.print(Text(f"{declaration.name}", style="bold"), Text(f"{model}, {mode}, {precision}"))
    rows = ordered(declaration, rows, named=named)
    shown = rows if named else [row for row in rows if row.prediction.memory.fits] or rows[:1]
    _table([_cells(declaration, row) for row in shown])
    if len(shown) < len(rows):
        print_line(out, f"does not fit on {', '.join(row.placement.device.label for row in rows[len(shown) :])}")
    for product, refusal in refusals:
        out.print(f"{product}: {refusal}")
    first = next((row for row in rows if row.prediction.memory.fits), rows[0])
    _waterfall(first)
    _advice(declaration, first)


def _table(lines: list[list[str]]) -> None:
    """Without the columns in which nothing is known of any product: MBU of training, COST without a price."""
    kept = [column for column in range(len(COLUMNS)) if any(line[column] != "-" for line in lines)]
    columns = [COLUMNS[column] for column in kept]
    print_table(columns, [[line[column] for column in kept] for line in lines], right=frozenset(COLUMNS[3:11]))


def _cells(declaration: Declaration, row: ProductRow) -> list[str]:
    found = row.prediction
    memory = f"{gibibytes(found.memory.total_bytes)} of {gibibytes(found.memory.capacity_bytes)}"
    head = [row.placement.device.label, str(row.placement.gpus), _fits(declaration, found)]
    if not found.memory.fits:
        # What does not fit reaches nothing.
        return [*head, *["-"] * 7, memory, _reach(row), "-", "-"]
    return [
        *head,
        percent(found.mfu),
        percent(found.mbu) if found.mbu is not None else "-",
        f"{percent(found.low)}-{percent(found.high)}",
        f"{found.tokens_per_s_per_gpu:,.0f}",
        _duration(found.step_seconds),
        _latency(found.ttft_seconds),
        _latency(found.tpot_seconds),
        memory,
        _reach(row),
        found.bound,
        _cost(declaration, row),
    ]


def _fits(declaration: Declaration, found: Prediction) -> str:
    """`no: KVCache` beyond memory, `late: TPOT` where it fits but misses a declared limit."""
    if not found.memory.fits:
        return f"no: {found.memory.largest_term}"
    late = _late(declaration, found)
    return f"late: {', '.join(each.split()[0] for each in late)}" if late else "yes"


def _late(declaration: Declaration, found: Prediction) -> tuple[str, ...]:
    setup = declaration.setup
    return misses(setup, found) if isinstance(setup, Inference) else ()


def _latency(seconds: float | None) -> str:
    return "-" if seconds is None else _duration(seconds)


def _reach(row: ProductRow) -> str:
    if row.best is None or not row.best.prediction.memory.fits:
        return "-"
    return f"{percent(attainable_on_scale(row.prediction, row.best))} {row.prediction.scale.value}"


def _duration(seconds: float) -> str:
    """`_duration(0.0123) == "12.3 ms"`."""
    return f"{seconds:.2f} s" if seconds >= 1.0 else f"{1e3 * seconds:.1f} ms"


def _cost(declaration: Declaration, row: ProductRow) -> str:
    if row.price is None:
        return "-"
    per_million = row.price / 3600.0 / row.prediction.tokens_per_s_per_gpu * 1e6
    total = _total_tokens(declaration)
    whole = "" if total is None else f", run {money(per_million * total / 1e6)}"
    return f"{money(per_million)} per M tokens{whole}"


def _total_tokens(declaration: Declaration) -> float | None:
    block = declaration.spec.training
    return None if block is None or block.total_tokens is None else float(tokens(block.total_tokens))


def _waterfall(row: ProductRow) -> None:
    """A picture of one prediction: the bar of each loss hangs from where the one above ended."""
    found, out = row.prediction, console()
    out.print(f"\nwhere the peak goes on {row.placement.device.label}")
    left, wide = 1.0, min(_WIDTH, out.width - _LABEL)
    out.print(Text(f"  {'peak':<32} {percent(1.0):>7} ") + Text(bar(1.0, wide)))
    for loss in found.waterfall:
        left -= loss.fraction
        part = bar(abs(loss.fraction), wide) or "▏"
        # Both ends of a bar are rounded: together they may be a column too wide.
        hang = min(round(max(left, 0.0) * wide), wide - len(part))
        sign = "-" if loss.fraction >= 0 else "+"
        style = "red" if loss.fraction >= 0 else "green"
        label = Text(f"  {loss.name:<32} {sign}{percent(abs(loss.fraction)):>6} ")
        out.print(label + Text(" " * hang) + Text(part, style=style))
    out.print(Text(f"  {'MFU':<32} {percent(found.mfu):>7} ") + Text(bar(found.mfu, wide), style="green"))


_WIDTH = 50
# What stands before a bar.
_LABEL = 43


def _advice(declaration: Declaration, row: ProductRow) -> None:
    out, memory = console(), row.prediction.memory
    if not memory.fits:
        out.print(f"\ndoes not fit: {memory.largest_term} is the largest part")
    for note in row.prediction.notes:
        print_line(out, f"note: {note}")
    if (more := _more(declaration, row)) is not None:
        print_line(out, f"note: {more}")
    _recommended(row)


def _recommended(row: ProductRow) -> None:
    """In the order of the list: every line is predicted with all lines above it done."""
    if not row.recommended:
        return
    out, before = console(), row.prediction
    alone = all(each.kind is RecommendationKind.SETTING for each in row.recommended)
    head = "what would make it faster on the same GPUs" if alone else "what to do"
    out.print(f"\n{head}, each on top of those above")
    for each in row.recommended:
        step, after = each.step, each.reach.prediction
        what = step.action if step.words else f"{step.field}: {step.before} → {step.after}"
        print_line(out, f"  {what}   {_brings(before, each)}{_change_of_money(each, row)}")
        before = after


def _brings(before: Prediction, each: Recommended) -> str:
    """`+5.4% → 7,171 tokens/s/GPU, 1.9pt MFU`; without change where nothing ran, or the scale changes."""
    after = each.reach.prediction
    rate = f"→ {after.tokens_per_s_per_gpu:,.0f} tokens/s/GPU"
    if each.gain is not None:
        rate = f"{100 * (after.tokens_per_s_per_gpu / before.tokens_per_s_per_gpu - 1.0):+.1f}% {rate}"
    if each.gain is None or before.scale is not after.scale or before.judged is None or after.judged is None:
        return f"{rate}, {percent(after.judged)} {after.scale.value}"
    return f"{rate}, {points(after.judged - before.judged)} {after.scale.value}"


def _change_of_money(each: Recommended, row: ProductRow) -> str:
    """Where a price is given: what a million tokens cost then."""
    if row.price is None:
        return ""
    cost = each.reach.cost_per_million_tokens({row.placement.device.gpu.api_name: row.price})
    return "" if cost is None else f", {money(cost)} per M tokens"


def _more(declaration: Declaration, row: ProductRow) -> str | None:
    """What more requests at once would bring where memory sets the pace and the spec does not let it be tuned."""
    setup = declaration.setup
    if not isinstance(setup, Inference) or Tunable.CONCURRENCY in tunable_of(declaration.spec):
        return None
    found = more_concurrency(setup, row.placement) if row.prediction.scale is Scale.MBU else None
    if found is None:
        return None
    best, reached = found
    times = reached.tokens_per_s_per_gpu / row.prediction.tokens_per_s_per_gpu
    return (
        f"with {best.concurrency:,.0f} requests at once instead of {setup.concurrency or 0:,.0f}: "
        f"{times:.1f} times the tokens/s, {_latency(reached.tpot_seconds)} a token"
    )


def _document(declaration: Declaration, rows: list[ProductRow], refusals: list[tuple[str, Problem]]) -> dict[str, Any]:
    return {
        "name": declaration.name,
        "model": declaration.spec.model.display_name,
        "mode": declaration.spec.mode.value,
        "predictions": [_prediction(declaration, row) for row in rows],
        "refused": [{"product": product, "reason": str(why)} for product, why in refusals],
    }


def _prediction(declaration: Declaration, row: ProductRow) -> dict[str, Any]:
    found, memory = row.prediction, row.prediction.memory
    prices = {} if row.price is None else {row.placement.device.gpu.api_name: row.price}
    return {
        "product": row.placement.device.label,
        "gpus": row.placement.gpus,
        "fits": memory.fits,
        "mfu": found.mfu,
        "referenceMFU": found.reference_mfu,
        "hfu": found.hfu,
        "mbu": found.mbu,
        "scale": found.scale.value,
        "low": found.low,
        "high": found.high,
        "stepSeconds": found.step_seconds,
        "tokensPerSecondPerGPU": found.tokens_per_s_per_gpu,
        "inputTokensPerSecondPerGPU": found.input_tokens_per_s_per_gpu,
        "ttftSeconds": found.ttft_seconds,
        "tpotSeconds": found.tpot_seconds,
        "flopsPerToken": found.flops_per_token,
        "bound": found.bound,
        "late": list(_late(declaration, found)),
        "memory": {
            "totalBytes": memory.total_bytes,
            "capacityBytes": memory.capacity_bytes,
            "largestTerm": memory.largest_term,
            "advice": memory.advice,
            "terms": dict(memory.terms),
        },
        "waterfall": [
            {"name": each.name, "fraction": each.fraction, "seconds": each.seconds} for each in found.waterfall
        ],
        "attainable": _attainable(row.best),
        "recommendations": [
            each.to_api() for each in recommendations(row.recommended, EffectivePolicy(book=PriceBook(prices)))
        ],
        "costPerMillionTokens": None
        if row.price is None
        else decimal(row.price / 3600.0 / found.tokens_per_s_per_gpu * 1e6, 6),
        "notes": list(found.notes),
    }


def _attainable(best: Attainable | None) -> dict[str, Any] | None:
    if best is None:
        return None
    return {
        "mfu": best.prediction.mfu,
        "mbu": best.prediction.mbu,
        "tokensPerSecondPerGPU": best.prediction.tokens_per_s_per_gpu,
        "changes": [_change(step) for step in best.changes],
    }


def _change(step: Change) -> dict[str, Any]:
    return {
        "field": step.field,
        "from": step.before,
        "to": step.after,
        "gain": step.gain,
        "gainPoints": step.gain_points,
    }

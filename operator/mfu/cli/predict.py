"""`mfu predict -f workload.yaml`: how fast a workload should run on each GPU product, and where the time goes."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from mfu.cli.calibrate import add_stack, stack_of
from mfu.cli.declaration import Declaration, place, prices, products_of, read
from mfu.cli.errors import UsageError
from mfu.cli.network import add_network, network_note, on_network
from mfu.cli.output import add_output, positive, print_document
from mfu.cli.predict_document import document
from mfu.cli.predict_picture import plot
from mfu.cli.predict_table import show
from mfu.cli.predicted import ProductRow
from mfu.decide.recommend.ranking import recommend
from mfu.decide.recommend.recommended import Recommended
from mfu.decide.types import EffectivePolicy, Subject
from mfu.predict import attainable, predict
from mfu.predict.declared import tunable_of
from mfu.predict.types import Attainable, Corrections, Problem


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
            documents.append(document(declaration, rows, refusals))
        else:
            named = bool(args.product or declaration.spec.accelerators.products)
            show(declaration, rows, refusals, named=named)
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

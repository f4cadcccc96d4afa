"""How far a serving prediction may be off, by how near it is to what was measured.

Two parts, as standard deviations of log(measured / predicted). What all runs of one engine on one product err by
together: the engine and the product (little where they were measured, the whole spread between engines or products
where not) and what sources differ by. What each run errs by alone: the series, the run, and what the model knows less
well than reading weights: communication and the host, each by its share of the step, mixtures, and attention groups.

How many of them the printed band reaches to the slower and to the faster side is learned from sources left out, by what
the others knew of their engine and product.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfu.predict.inference.case import ServingCase
from mfu.predict.inference.constants import OLDER, ServingConstants
from mfu.predict.inference.kernels import StepTime
from mfu.predict.inference.shape import Array
from mfu.predict.spread import NORMAL_80

Names = NDArray[np.str_]
TERMS = ("own", "communication", "host", "python", "mixture", "groups")
"""Entries of `Constants.doubt` that a run's own doubt is made of; `own` counts for every run."""


KNOWN, NEW_ENGINE, NEW_PRODUCT = "known engine", "unknown engine", "new product"
"""What may be known: engine and product, not the engine, not the product (whatever the engine)."""
_SYMMETRIC = (NORMAL_80, NORMAL_80)


def knowledge(constants: ServingConstants, engine: str, product: str) -> str:
    """What the constants know of an engine, whatever its generation, and of a product."""
    if product not in constants.products:
        return NEW_PRODUCT
    return KNOWN if engine.split(OLDER)[0] in {each.split(OLDER)[0] for each in constants.engines} else NEW_ENGINE


def reach(constants: ServingConstants, engines: Names, products: Names) -> Array:
    """Standard deviations that each row's band reaches to the slower and to the faster side: shape (rows, 2)."""
    pairs = [(str(engine), str(product)) for engine, product in zip(engines, products, strict=True)]
    sides = {pair: constants.reach.get(knowledge(constants, *pair), _SYMMETRIC) for pair in set(pairs)}
    return np.array([sides[pair] for pair in pairs])


def reach_of_values(constants: ServingConstants, engines: Names, products: Names, *, rates: NDArray[np.bool_]) -> Array:
    """Standard deviations that each value's band reaches below and above: slower is below where it is a rate, and above
    where it is a time."""
    sides = reach(constants, engines, products)
    return np.where(rates[:, None], sides, sides[:, ::-1])


def shared_doubt(constants: ServingConstants, engines: Names, products: Names) -> Array:
    """What runs of one engine on one product err by together, for arrays of names."""
    engine = np.array([constants.stack(str(name)).doubt for name in engines])
    product = np.array([constants.product(str(name)).doubt for name in products])
    return np.asarray(np.sqrt(engine**2 + product**2 + constants.doubt["source"] ** 2))


def own_doubt(constants: ServingConstants, case: ServingCase, step: StepTime, settings: Names) -> Array:
    """What each run errs by alone; `settings` by `build.setting_of`."""
    weights = np.array([constants.doubt[name] ** 2 for name in TERMS])
    setting = np.array([constants.setting(str(name)).doubt for name in settings])
    return np.asarray(np.sqrt(setting**2 + features(case, step) @ weights))


def features(case: ServingCase, step: StepTime) -> Array:
    """What the squares of the terms are multiplied by: shape (rows, terms)."""
    total = np.atleast_1d(step.total)
    shares = [
        np.ones_like(total),
        np.square(step.communication / total),
        np.square((step.launch + step.host) / total),
        np.square(np.where(np.asarray(case.eager) > 0, step.launch, 0.0) / total),
        np.broadcast_to(np.asarray(case.shape.experts) > 0, total.shape),
        np.broadcast_to(np.asarray(case.layout.groups) > 1, total.shape),
    ]
    return np.stack([np.asarray(each, dtype=float) for each in shares], axis=-1)

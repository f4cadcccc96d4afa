"""Builder of the figures of a fleet from its rows, as the engine makes them from its table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfu.account.rollup import FleetFigures, RollupRow, WorkDone, roll_up_table, table_of


def roll_up(rows: Sequence[RollupRow], moving: Sequence[float | None] = ()) -> FleetFigures:
    """`moving`: share of each row's time that makes progress, as counters see it; none is known by default."""
    mfu = np.array([np.nan if row.reference_mfu is None else row.reference_mfu for row in rows], dtype=float)
    knowledge = np.array([row.knowledge for row in rows], dtype=np.int64)
    shares = np.array([np.nan if each is None else each for each in moving or [None] * len(rows)], dtype=float)
    return roll_up_table(table_of(rows), WorkDone(mfu, knowledge, shares))

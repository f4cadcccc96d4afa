"""Builder of the figures of a fleet from its rows, as the engine makes them from its table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfu.account.rollup import FleetFigures, RollupRow, WorkDone, roll_up_table, table_of


def roll_up(rows: Sequence[RollupRow]) -> FleetFigures:
    mfu = np.array([np.nan if row.reference_mfu is None else row.reference_mfu for row in rows], dtype=float)
    knowledge = np.array([row.knowledge for row in rows], dtype=np.int64)
    return roll_up_table(table_of(rows), WorkDone(mfu, knowledge, np.full(len(rows), np.nan)))

"""What a new operator knows of a workload that an old one watched."""

from __future__ import annotations

import pytest

from mfu.api.workload_status import WorkloadStatus
from mfu.engine.history.remembered import WorkloadMemory, recalled
from mfu.engine.packed import Packed
from mfu.engine.say.history import history_rows
from mfu.observe.drift import Identity, update
from mfu.observe.history import Advice, Entry, promises

HERE = Identity("llama-3.1-8b", "v1", "mbs 1 gbs 128 seq 8192 d8 ZeRO3 None BF16", "H100-SXM5", 8)
ENTRY = Entry(HERE, 0.45, 40, 1_800_000_000.0, 1_800_002_400.0, before=0.30, promised=0.4, advice=Advice("mbs 2", 0.2))


def test_history_and_promises_survive() -> None:
    memory = recalled(history_rows((ENTRY,)))
    (entry,) = memory.history
    assert (entry.identity, entry.mfu, entry.before, entry.promised) == (HERE, 0.45, 0.30, 0.4)
    assert entry.advice == Advice("mbs 2", 0.2)
    assert promises(memory.history).kept == 1


def test_a_drop_while_nobody_watched_is_noticed() -> None:
    """The detector goes on from the level that history ended at, so a restart hides no change."""
    state, found = recalled(history_rows((ENTRY,))).drift_state, None
    for minute in range(10):
        state, drift = update(state, 0.33, at=1_800_010_000.0 + 60 * minute, identity=HERE)
        found = found or drift
    assert found is not None
    assert found.before == pytest.approx(0.45, abs=0.01)
    assert found.after < 0.40


@pytest.mark.parametrize("rows", [[], [{}], [{"product": "H100-SXM5"}], [{"after": "x", "gpus": "y"}]])
def test_a_forged_status_is_dropped_not_fatal(rows: list[dict[str, str]]) -> None:
    assert recalled(Packed(WorkloadStatus, {"history": rows}).read().history) == WorkloadMemory()

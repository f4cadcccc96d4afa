"""What a new operator knows of a workload that an old one watched."""

from __future__ import annotations

import pytest

from mfu.api.workload_status import WorkloadStatus
from mfu.engine.history.remembered import WorkloadMemory, recalled
from mfu.engine.packed import Packed
from mfu.engine.say.history import drift_row, history_rows, watch_row
from mfu.observe.drift import Drift, DriftKind, DriftState, Identity, update
from mfu.observe.history import Advice, Entry, promises
from mfu.observe.whereabouts import Whereabouts

HERE = Identity("llama-3.1-8b", "v1", "mbs 1 gbs 128 seq 8192 d8 ZeRO3 None BF16", "H100-SXM5", 8)
ENTRY = Entry(HERE, 0.45, 40, 1_800_000_000.0, 1_800_002_400.0, before=0.30, promised=0.4, advice=Advice("mbs 2", 0.2))


def test_history_and_promises_survive() -> None:
    memory = recalled(WorkloadStatus(history=history_rows((ENTRY,))))
    (entry,) = memory.history
    assert (entry.identity, entry.mfu, entry.before, entry.promised) == (HERE, 0.45, 0.30, 0.4)
    assert entry.advice == Advice("mbs 2", 0.2)
    assert promises(memory.history).kept == 1


def test_a_drop_while_nobody_watched_is_noticed() -> None:
    """The detector goes on from the level that history ended at, so a restart hides no change."""
    state, found = recalled(WorkloadStatus(history=history_rows((ENTRY,)))).drift_state, None
    for minute in range(10):
        state, drift = update(state, 0.33, at=1_800_010_000.0 + 60 * minute, identity=HERE)
        found = found or drift
    assert found is not None
    assert found.before == pytest.approx(0.45, abs=0.01)
    assert found.after < 0.40


@pytest.mark.parametrize("rows", [[], [{}], [{"product": "H100-SXM5"}], [{"after": "x", "gpus": "y"}]])
def test_a_forged_status_is_dropped_not_fatal(rows: list[dict[str, str]]) -> None:
    assert recalled(Packed(WorkloadStatus, {"history": rows}).read()) == WorkloadMemory()


def test_the_search_goes_on_where_it_stood() -> None:
    """With its doubts about the level: a change that began before the restart is found as if there had been none."""
    state, at = DriftState(), 1_800_000_000.0
    for minute in range(60):
        state, _ = update(state, 0.45 + 0.004 * (minute % 3 - 1), at=at + 60 * minute, identity=HERE)
    for minute in range(60, 62):
        state, _ = update(state, 0.41, at=at + 60 * minute, identity=HERE)
    said = WorkloadStatus(history=history_rows((ENTRY,)), watch=watch_row(state, at + 61 * 60))
    known = recalled(Packed.of(said).read())
    assert known.sampled_at == at + 61 * 60
    assert known.drift_state.fall.total == pytest.approx(state.fall.total, rel=1e-4)
    mine, theirs = known.drift_state, state
    for minute in range(62, 80):
        mine, found = update(mine, 0.41, at=at + 60 * minute, identity=HERE)
        theirs, same = update(theirs, 0.41, at=at + 60 * minute, identity=HERE)
        assert (found is None) is (same is None)
        if found is not None and same is not None:
            assert (found.kind, found.at) == (same.kind, same.at)
            return
    pytest.fail("never found")


def test_the_last_change_comes_back_with_its_place() -> None:
    where = Whereabouts("n3", "GPU-7", "SM clock of GPU GPU-7 on n3 -9 % beside its peers")
    drift = Drift(DriftKind.INFRASTRUCTURE, 0.45, 0.41, 1_800_000_000.0, "H100-SXM5", where)
    said = WorkloadStatus(history=history_rows((ENTRY,)), drift=drift_row(drift))
    assert recalled(Packed.of(said).read()).drift == drift


@pytest.mark.parametrize("damage", [{"mean": "1e999"}, {"since": "yesterday"}, {"variance": "nan"}])
def test_a_damaged_memory_falls_back_to_the_level_of_history(damage: dict[str, str]) -> None:
    regime = {"since": "2027-01-15T08:00:00Z", "mean": "0.45", "variance": "0.0001", **damage}
    document = {
        "history": [history_rows((ENTRY,))[0].to_api()],
        "watch": {"sampledAt": regime["since"], "regime": regime},
    }
    known = recalled(Packed(WorkloadStatus, document).read())
    assert (known.drift_state.identity, known.drift_state.regime.mean) == (HERE, 0.45)

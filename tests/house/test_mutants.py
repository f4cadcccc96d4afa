"""The hunter of mutants: what it changes, what it counts, and that a list of harmless changes can not rot."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfu.decide.workload.remedy import remedy
from tools.mutations import Mutant, mutants_of
from tools.mutations_journal import Journal
from tools.mutations_run import Outcome, Result, forget
from tools.mutations_table import Equivalents, Table

SOURCE = '''"""A module."""

MOST = 4


def left(given: int, taken: list[int]) -> int:
    """What is left; never less than nothing."""
    rest = given
    for each in taken:
        rest -= each
    taken.clear()
    if rest < 0 and given:
        return 0
    return max(rest, 1)
'''


@pytest.fixture
def mutants(tmp_path: Path) -> list[Mutant]:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    return list(mutants_of(path, "mfu.act.module"))


def test_every_operator_condition_constant_and_statement_is_changed_once(mutants: list[Mutant]) -> None:
    assert sorted(each.change for each in mutants) == sorted(
        [
            "rest -= each → pass",
            "taken.clear() → pass",
            "if rest < 0 and given → if rest <= 0 and given",
            "if rest < 0 and given → if rest < 1 and given",
            "if rest < 0 and given → if rest < 0 or given",
            "if rest < 0 and given → if not (rest < 0 and given)",
            "return 0 → return None",
            "return 0 → return 1",
            "return max(rest, 1) → return min(rest, 1)",
            "return max(rest, 1) → return max(rest, 2)",
            "return max(rest, 1) → return None",
            "MOST = 4 → 5",
            "MOST = 4 → 2",
        ]
    )


def test_a_mutant_knows_the_lines_that_a_test_must_run(mutants: list[Mutant]) -> None:
    lines = {each.change: each.lines for each in mutants}
    assert lines["rest -= each → pass"] == {10}
    assert lines["return 0 → return None"] == {13}


def table(mutants: list[Mutant], alive: set[str], reasons: dict[str, str], only: str = "") -> Table:
    results = [
        Result(each, Outcome.SURVIVED if each.change in alive else Outcome.NOTICED)
        for each in sorted(mutants, key=lambda each: each.line)
    ]
    listed = {("mfu.act.module.left", change): why for change, why in reasons.items()}
    return Table(results, Equivalents.of(listed), 1.0, only)


def test_the_share_is_of_what_changes_anything(mutants: list[Mutant]) -> None:
    made = table(mutants, {"taken.clear() → pass", "return 0 → return 1"}, {"taken.clear() → pass": "nobody looks"})
    assert made.least_percent == pytest.approx(100.0 * 11 / 12)
    assert "| act/ | 13 | 11 | 1 | 91.7 % |" in made.text
    assert "| act/module.py:13 | `return 0` | `return 1` | survived |" in made.text
    assert "| act/module.py:11 | `taken.clear()` | `pass` | nobody looks |" in made.text
    assert made.stale == []


def test_what_is_listed_as_harmless_and_dies_is_said(mutants: list[Mutant]) -> None:
    assert table(mutants, set(), {"taken.clear() → pass": "so it was"}).stale == [
        "mfu.act.module.left: taken.clear() → pass"
    ]
    assert table(mutants, set(), {"gone → away": "so it was"}, only="act/module").stale != []


def test_what_is_listed_in_another_module_is_no_matter_of_a_part(mutants: list[Mutant]) -> None:
    others = Equivalents.of({("mfu.act.other.left", "gone → away"): "so it was"})
    results = [Result(each, Outcome.NOTICED) for each in mutants]
    assert Table(results, others, 1.0, "act/module").stale == []
    assert Table(results, others, 1.0).stale == ["mfu.act.other.left: gone → away"]


def test_the_committed_list_has_a_reason_for_each() -> None:
    reasons = Equivalents.read().reasons
    assert all(len(why.split()) > 3 for why in reasons.values())
    assert len(reasons) <= 30


def test_a_stopped_hunt_goes_on_as_far_as_code_and_tests_are_the_same(mutants: list[Mutant], tmp_path: Path) -> None:
    path, module, tests = tmp_path / "outcomes", tmp_path / "module.py", tmp_path / "tests"
    tests.mkdir()
    one, other = tests / "test_one.py", tests / "test_other.py"
    for each in (one, other):
        each.write_text("pass")

    def known() -> list[tuple[int, Outcome]]:
        found = map(Journal([tests], path).known, mutants)
        return [(each.mutant.place, each.outcome) for each in found if each is not None]

    assert known() == []
    first = Journal([tests], path)
    first.add(Result(mutants[0], Outcome.NOTICED, one))
    first.add(Result(mutants[3], Outcome.SURVIVED))
    assert known() == [(0, Outcome.NOTICED), (3, Outcome.SURVIVED)]
    other.write_text("another")
    assert known() == [(0, Outcome.NOTICED)]
    one.write_text("another")
    assert known() == []
    one.write_text("pass")
    module.write_text(f"{SOURCE}# changed")
    assert known() == []


def test_answers_of_unchanged_code_are_forgotten() -> None:
    remedy.cache_clear()
    with pytest.raises(AttributeError):
        remedy(None, None)
    assert remedy.cache_info().misses == 1
    forget()
    assert remedy.cache_info().misses == 0


def test_what_a_hunt_before_had_found_is_said(mutants: list[Mutant]) -> None:
    results = [Result(each, Outcome.NOTICED) for each in mutants]
    assert "2 s for all but 1,500 that a run before had found" in Table(results, Equivalents.of({}), 2.0, "", 1500).text
    assert ", 2 s.\n" in Table(results, Equivalents.of({}), 2.0).text


def test_a_filter_in_brackets_is_reached_where_it_stands(tmp_path: Path) -> None:
    """Below a decorator the first line of a function is none that runs when it is called."""
    path = tmp_path / "module.py"
    path.write_text(
        "@memo\ndef kept(found: list[int]) -> list[int]:\n    return [each for each in found if each > 1]\n"
    )
    assert {each.lines for each in mutants_of(path, "mfu.act.module")} == {frozenset({3})}

"""Files of tests that speak with servers, in the order to begin them in: `python -m e2e.testbed.served`.

A story waits for four fifths of its minute or two, most other files keep a core busy for seconds. Stories first, the
cores of the first minutes stood idle; begun in turn with the others, both have work from the first minute to the last.
What takes long comes first of its kind: who begins last ends last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
MARKED: Final = re.compile(r"mark\.(integration|slow|e2e)\b")
"""tests/conftest.py refuses a mark that is written otherwise."""
LONG: Final = (
    "e2e/stories/test_gate_kills.py",
    "e2e/stories/test_reclaim.py",
    "e2e/stories/test_gate_failures.py",
    "e2e/stories/test_frozen.py",
    "e2e/stories/test_gate_outage.py",
    "e2e/stories/test_bad_input.py",
    "e2e/stories/test_restart.py",
    "tests/chart/test_chart_upgrade.py",
    "tests/e2e_cluster/test_kueue_gate.py",
    "tests/controller/test_admission_server.py",
    "tests/autoscaling/test_autoscalers_server.py",
    "tests/sim/test_demo_runs.py",
    "tests/decide/test_fleet_exhaustive.py",
    "tests/chart/test_image_root.py",
    "tests/e2e_cluster/test_kueue_check.py",
)
"""Those that took longer than a minute beside one other on two cores, as they did."""
OTHERS_A_STORY: Final = 5


def stories(root: Path = ROOT) -> list[str]:
    return _long_first(path.relative_to(root).as_posix() for path in root.glob("e2e/stories/test_*.py"))


def others(root: Path = ROOT) -> list[str]:
    files = (path for path in root.glob("tests/**/test_*.py") if MARKED.search(path.read_text()))
    return _long_first(path.relative_to(root).as_posix() for path in files)


def in_turn(told: Iterable[str], rest: Iterable[str]) -> Iterator[str]:
    """A story, then five others; what is left of either at the end."""
    left = iter(rest)
    for story in told:
        yield story
        yield from (each for _, each in zip(range(OTHERS_A_STORY), left, strict=False))
    yield from left


def _long_first(files: Iterable[str]) -> list[str]:
    return sorted(files, key=lambda each: (LONG.index(each) if each in LONG else len(LONG), each))


if __name__ == "__main__":
    print(*in_turn(stories(), others()))

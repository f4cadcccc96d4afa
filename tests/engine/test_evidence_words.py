"""Evidence as people read it: shares in per cent, other figures with their unit, words as they are."""

from __future__ import annotations

import pytest

from mfu.engine.say.figures import worded
from mfu.observe.assessment import EvidenceItem


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.6719, "fraction", "67.2 %"),
        (0.994, "fraction", "99.4 %"),
        (30.08, "GB/s", "30.08 GB/s"),
        ("GPU 3", "", "GPU 3"),
    ],
)
def test_evidence_is_said_in_its_unit(value: float | str, unit: str, said: str) -> None:
    assert worded(EvidenceItem("name", value, unit)) == said

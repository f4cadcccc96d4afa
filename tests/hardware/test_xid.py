"""One list of Xids for the agent and for the diagnosis."""

from __future__ import annotations

import pytest

from mfu.agent.health import _serious
from mfu.hardware.xid import APPLICATION_XIDS, HARDWARE_XIDS, INFORMATIONAL_XIDS, RESET_XIDS, WORN_XIDS


def test_no_number_is_in_two_sets() -> None:
    sets = (APPLICATION_XIDS, RESET_XIDS, WORN_XIDS, INFORMATIONAL_XIDS)
    assert len(frozenset.union(*sets)) == sum(map(len, sets))


@pytest.mark.parametrize(
    ("number", "fault", "lasts"),
    [
        (69, False, False),
        (137, False, False),
        (109, True, True),
        (154, False, False),
        (79, True, True),
        (94, True, False),
    ],
)
def test_what_the_catalog_says(number: int, fault: bool, lasts: bool) -> None:
    """`fault` of the device; `lasts` beyond the hour in which any error is named."""
    assert (number in HARDWARE_XIDS) is fault
    assert _serious(number, 7200.0) is lasts
    assert _serious(number, 10.0) is fault

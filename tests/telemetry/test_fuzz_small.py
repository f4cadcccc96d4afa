"""Small fuzz runs of every parser: never an untyped exception, never a number that was not in the text.

`tools/fuzz_parsers.py` runs the same checks for minutes.
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.telemetry.parser_checks import CHECKS, SEEDS, check

BYTES = st.binary(max_size=400)
PIECES = st.sampled_from(SEEDS).flatmap(
    lambda seed: st.tuples(st.just(seed), st.integers(0, len(seed)), BYTES, st.integers(0, 40))
)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(CHECKS)), BYTES)
def test_any_bytes(name: str, body: bytes) -> None:
    check(name, body)


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(CHECKS)), PIECES)
def test_damaged_bodies(name: str, piece: tuple[bytes, int, bytes, int]) -> None:
    seed, at, inserted, cut = piece
    check(name, seed[:at] + inserted + seed[at + cut :])

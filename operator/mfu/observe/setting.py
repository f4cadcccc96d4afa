"""The key of a setting, word by word: `mbs 1 gbs 128 seq 8192 t2 d8 ZeRO1 None BF16`.

Whoever writes one takes its words from here, so that what of it grows with the number of GPUs is known by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

GLOBAL_BATCH: Final = "gbs"
"""Before the global batch, which grows with the number of GPUs."""
DATA: Final = "d"
"""Begins the word of the data-parallel degree, which does so, too."""


def apart_from_size(setting: str) -> str:
    """`apart_from_size("mbs 1 gbs 128 seq 8192 t2 d8 ZeRO1") == "mbs 1 seq 8192 t2 ZeRO1"`."""
    return " ".join(_kept(setting.split()))


def data_ranks(setting: str) -> str:
    """`data_ranks("mbs 1 gbs 128 t2 d8 ZeRO1") == "d8"`; "" where it names none."""
    return next(filter(_is_data, setting.split()), "")


def _kept(words: list[str]) -> Iterator[str]:
    of_the_batch = False
    for word in words:
        if not (of_the_batch or word == GLOBAL_BATCH or _is_data(word)):
            yield word
        of_the_batch = word == GLOBAL_BATCH


def _is_data(word: str) -> bool:
    return word.startswith(DATA) and word[len(DATA) :].isdecimal()

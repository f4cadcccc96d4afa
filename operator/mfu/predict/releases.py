"""Which release of an engine a name says."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=1024)
def release(version: str | None) -> tuple[int, int] | None:
    """`release("v0.6.1") == (0, 6)`; None where nothing of that form begins the text."""
    found = re.match(r"v?(\d+)(?:\.(\d+))?", version or "")
    return None if found is None else (int(found[1]), int(found[2] or 0))

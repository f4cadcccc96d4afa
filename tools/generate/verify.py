"""Fails where a generated file is not what its source makes of it: `python -m tools.generate.verify`.

What stands is compared with what is written anew: work in progress elsewhere in the tree does not matter.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from tools.generate import manifests

PAGES: Final = ("README.md", "crds", "charts", "docs")


def contents() -> dict[Path, bytes]:
    places = [manifests.ROOT / name for name in PAGES]
    files = (path for place in places for path in (place, *place.rglob("*")) if path.is_file())
    return {path: path.read_bytes() for path in files}


def main() -> int:
    before = contents()
    manifests.main()
    after = contents()
    stale = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    for path in stale:
        print(f"was not current, now is: {path.relative_to(manifests.ROOT)}", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())

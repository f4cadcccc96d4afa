"""Regenerate everything that is generated: custom resource definitions, the chart's copy, the references.

`python -m tools.generate.manifests`; `make verify` fails when the result differs from what is committed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIRST = ("crdgen", "performance_doc")
"""The chart's copy and the references read what these write."""


def scripts() -> list[str]:
    return [*FIRST, *sorted(path.stem for path in Path(__file__).parent.glob("gen_*.py"))]


def main() -> int:
    for script in scripts():
        print(script)
        subprocess.run([sys.executable, "-m", f"tools.generate.{script}"], cwd=ROOT, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

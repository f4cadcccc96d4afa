"""Regenerate everything that is generated: custom resource definitions, the chart's copy, the references.

`python tools/manifests.py`; `make verify` fails when the result differs from what is committed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST = ("crdgen.py",)
"""The chart's copy and the references read what these write."""


def scripts() -> list[Path]:
    tools = ROOT / "tools"
    return [tools / name for name in FIRST] + sorted(tools.glob("gen_*.py"))


def main() -> int:
    for script in scripts():
        print(f"{script.name}")
        subprocess.run([sys.executable, str(script)], cwd=ROOT, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

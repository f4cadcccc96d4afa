"""What every generator of one page does with its text: write it, or say with --check whether the page is current."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def publish(page: Path, text: str, arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 written or current, 1 where --check finds the page stale."""
    parser = argparse.ArgumentParser(description=f"Writes {page.name}.")
    parser.add_argument("--check", action="store_true", help="fail when the committed page differs; write nothing")
    if not parser.parse_args(arguments).check:
        page.write_text(text)
        return 0
    current = page.exists() and page.read_text() == text
    print(f"{page.name} is " + ("current" if current else "stale: run make manifests"), file=sys.stderr)
    return 0 if current else 1

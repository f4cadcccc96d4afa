"""The README's commands with what they really print: `python -m tools.generate.gen_readme`.

A block that starts with `$ mfu …` is run from the root of the checkout and its output written below the command; lines
past the first few are cut where the block says `# first N lines`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Final

from mfu.cli.main import main as mfu

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = ROOT / "README.md"
SHOWN: Final = re.compile(r"```console\n(\$ mfu [^\n]*)\n.*?```", re.DOTALL)
_CUT: Final = re.compile(r"\s+# first (\d+) lines$")
_COLUMNS: Final = "120"


def printed(command: str) -> str:
    """What the command prints on a terminal of 120 columns, without trailing blanks."""
    out = io.StringIO()
    before = dict(os.environ), Path.cwd()
    os.environ["COLUMNS"] = _COLUMNS
    os.chdir(ROOT)
    try:
        with contextlib.redirect_stdout(out):
            mfu(shlex.split(command)[1:])
    finally:
        os.environ.clear()
        os.environ.update(before[0])
        os.chdir(before[1])
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines())


def block(found: re.Match[str]) -> str:
    line = found[1]
    cut = _CUT.search(line)
    text = printed(_CUT.sub("", line).removeprefix("$ "))
    lines = text.splitlines()[: int(cut[1])] if cut else text.splitlines()
    return "```console\n" + "\n".join([line, *lines]).rstrip() + "\n```"


def render(page: str) -> str:
    return SHOWN.sub(block, page)


def main() -> int:
    README.write_text(render(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

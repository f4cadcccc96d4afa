"""Switch off each control in a copy of the operator and see that its test notices.

`python -m tests.attacks.switch_off [WORD …]` tries those whose threat or name has all words; 1 where one lived.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.attacks.controls import CONTROLS, Control
from tests.attacks.mutants import MUTANTS

ROOT = Path(__file__).parents[2]


def switched_off(control: Control, into: Path) -> Path:
    """A copy of operator/ in which the control is off. Raises ValueError where it does not stand there once."""
    copy = into / "operator"
    shutil.copytree(ROOT / "operator", copy, ignore=shutil.ignore_patterns("__pycache__"))
    file = copy / "mfu" / control.file
    text = file.read_text()
    if text.count(control.old) != 1:
        raise ValueError(f"{control.file}: {control.old!r} stands there {text.count(control.old)} times, not once")
    file.write_text(text.replace(control.old, control.new))
    return copy


def noticed(control: Control) -> bool:
    """Does the test fail without the control?"""
    with tempfile.TemporaryDirectory() as into:
        environment = {**os.environ, "PYTHONPATH": str(switched_off(control, Path(into)))}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not integration"]
        command += _arguments(control.test)
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    # 1: a test failed. Anything else (no test chosen, a broken import) tells nothing.
    return done.returncode == 1 and " failed" in done.stdout


def _arguments(test: str) -> list[str]:
    files, _, chosen = test.partition(" -k ")
    return [*files.split(), *(["-k", chosen] if chosen else [])]


def main(words: list[str]) -> int:
    lived = tried = 0
    for control in (*CONTROLS, *MUTANTS):
        if not all(word in f"{control.threat} {control.name}" for word in words):
            continue
        seen = noticed(control)
        lived, tried = lived + (not seen), tried + 1
        print(f"{'noticed' if seen else 'LIVED  '}  {control.threat}: {control.name}", flush=True)
    print(f"switched off, {tried - lived} of {tried} controls were noticed by their tests")
    return 1 if lived or not tried else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

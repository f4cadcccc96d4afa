"""Builds the fake libnvidia-ml.so.1 where a C compiler is at hand.

python -m tests.agent.fake_nvml.build DIRECTORY     # then LD_LIBRARY_PATH=DIRECTORY mfu agent …
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("fake_nvml.c")
SONAME = "libnvidia-ml.so.1"


def build(directory: Path) -> Path | None:
    """The library's path, None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    library = directory / SONAME
    command = [compiler, "-O1", "-shared", "-fPIC", f"-Wl,-soname,{SONAME}", "-o", str(library), str(SOURCE), "-lm"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return library


if __name__ == "__main__":
    if build(Path(sys.argv[1])) is None:
        sys.exit("no C compiler")

"""Reading the files that people name on the command line."""

from __future__ import annotations

from pathlib import Path

from mfu.cli.errors import UsageError


def read_text(path: Path, argument: str | None = None) -> str:
    """The whole file. UsageError names the file, after its argument where there is one, and what is wrong with it."""
    name = f"{argument} {path}" if argument else str(path)
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: is no text file: {error.reason} at byte {error.start}") from error

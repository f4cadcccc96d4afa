"""The folder of one run: made, locked while its owner lives, removed at the end or kept for its logs."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import IO

_PREFIX = "mfu-cluster-"
_LOCK = ".owner"
_KEPT = ".kept"


class RunFolder:
    """A folder for a run: a temporary one, or `given` by the caller, which is never removed."""

    def __init__(self, given: Path | None = None) -> None:
        self._temporary = given is None
        if given is None:
            sweep(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX)) if given is None else given.resolve()
        self.path.mkdir(parents=True, exist_ok=True)
        handle = _try_lock(self.path / _LOCK)
        if handle is None:
            raise BlockingIOError(f"{self.path} belongs to a control plane that is running")
        self._lock = handle

    def close(self, *, keep: bool) -> None:
        """Let go of the folder; a temporary one is removed unless it is to be kept."""
        if self._temporary and not keep:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._temporary and keep:
            (self.path / _KEPT).touch()
            shutil.rmtree(self.path / "etcd", ignore_errors=True)
        self._lock.close()


def sweep(base: Path) -> None:
    """Remove what runs left behind whose process was killed: their lock is free and nobody asked to keep them."""
    for folder in base.glob(_PREFIX + "*"):
        if (folder / _KEPT).exists() or not (folder / _LOCK).exists():
            continue
        handle = _try_lock(folder / _LOCK)
        if handle is not None:
            shutil.rmtree(folder, ignore_errors=True)
            handle.close()


def _try_lock(path: Path) -> IO[str] | None:
    try:
        handle = path.open("a")
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle

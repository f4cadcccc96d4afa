"""Finds each binary on its own: assets folder, then the user's cache, then a build from the pinned Go module."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.testbed.cluster.gobuild import BuildFailed, go_build
from e2e.testbed.cluster.pins import BINARIES, CONTROL_PLANE, KUBERNETES_VERSION, Binary, fingerprint

Progress = Callable[[str], None]

_MINOR = re.compile(r"v?(\d+\.\d+)\.")


class BinaryUnavailable(RuntimeError):
    """A binary was neither found nor could it be built; the message says what to do."""


def cache_folder(binary: Binary) -> Path:
    """Folder of the user's cache that holds binaries of this very set of pins."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mfu-e2e" / fingerprint(binary)


def find(binary: Binary, *, progress: Progress) -> Path | None:
    """The binary where it already exists, or None."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        candidate = Path(assets) / binary.name
        if os.access(candidate, os.X_OK) and _version_fits(binary, candidate, progress):
            return candidate
    cached = cache_folder(binary) / binary.name
    if os.access(cached, os.X_OK):
        return cached
    if binary.name == "helm":
        return _helm_on_path()
    return None


def ensure_binaries(names: Iterable[str] = CONTROL_PLANE, *, progress: Progress = print) -> dict[str, Path]:
    """Paths of the named binaries, building what is missing; safe to run from several processes at once.

    Raises BinaryUnavailable when one must be built and cannot be.
    """
    wanted = [BINARIES[name] for name in names]
    found = {binary.name: find(binary, progress=progress) for binary in wanted}
    missing = [binary for binary in wanted if found[binary.name] is None]
    if missing:
        _announce(missing, progress)
    for position, binary in enumerate(missing, start=1):
        found[binary.name] = _build_once(binary, progress, label=f"[{position}/{len(missing)}] {binary.name}")
    return {name: path for name, path in found.items() if path is not None}


def _announce(missing: list[Binary], progress: Progress) -> None:
    seconds = sum(binary.cold_seconds for binary in missing)
    names = ", ".join(binary.name for binary in missing)
    progress(f"building once: {names}; about {seconds / 60:.0f} min with 2 free cores and an empty Go build cache")


def _build_once(binary: Binary, progress: Progress, *, label: str) -> Path:
    folder = cache_folder(binary)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / binary.name
    with _locked(folder / ".lock", waiting=lambda: progress(f"{label}: another build is running, waiting for it")):
        if os.access(target, os.X_OK):
            return target
        if shutil.which("go") is None:
            raise BinaryUnavailable(
                f"{binary.name} is in neither $KUBEBUILDER_ASSETS nor {folder}, and there is no `go` to build it: "
                "install Go (1.21 or later), or point KUBEBUILDER_ASSETS at a folder that holds it"
            )
        partial = folder / f".{binary.name}.{os.getpid()}.partial"
        try:
            go_build(binary, partial, progress=progress, label=label)
            partial.replace(target)
        except BuildFailed as error:
            raise BinaryUnavailable(f"{binary.name} could not be built: {error}") from error
        finally:
            partial.unlink(missing_ok=True)
    return target


@contextmanager
def _locked(path: Path, *, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock that the kernel drops when its holder dies."""
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _version_fits(binary: Binary, path: Path, progress: Progress) -> bool:
    if not binary.version_check:
        return True
    answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30, check=False).stdout
    found, pinned = _MINOR.search(answer), _MINOR.search(KUBERNETES_VERSION)
    if found and pinned and found[1] == pinned[1]:
        return True
    progress(f"{path} is {answer.strip() or 'of unknown version'}, not {KUBERNETES_VERSION}: left aside")
    return False


def _helm_on_path() -> Path | None:
    path = shutil.which("helm")
    return Path(path) if path else None

"""Runs one `go build` of a pinned package and reports how far it is."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from e2e.testbed.cluster.pins import GO_BUILD_FLAGS, MODULES, Binary, Source
from e2e.testbed.cluster.process import end_group, spawn

REPORT_EVERY_SECONDS = 15.0
_KEPT_LINES = 20


class BuildFailed(RuntimeError):
    """`go build` failed; the message ends with its last lines."""


def build_environment() -> dict[str, str]:
    """The user's own Go settings, with what keeps the build pure, quick and away from the checkout's go.mod."""
    return {**os.environ, "CGO_ENABLED": "0", "GOGC": "400", "GOWORK": "off"}


def go_build(binary: Binary, target: Path, *, progress: Callable[[str], None], label: str) -> None:
    """Build `binary` to `target`. An interrupted build resumes: Go's build cache keeps each compiled package."""
    command = ["go", "build", "-v", *GO_BUILD_FLAGS, "-o", str(target), binary.package]
    started = time.monotonic()
    progress(f"{label}: started, expected {binary.cold_seconds:.0f} s")
    process = spawn(
        command,
        cwd=_folder(binary, target.parent),
        env=build_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        lines = _follow(process, lambda n: progress(_line(label, binary, started, packages=n)))
        if process.wait() != 0:
            raise BuildFailed(f"go build exited with {process.returncode}\n" + "\n".join(lines))
    finally:
        end_group(process, grace_seconds=2)
    progress(f"{label}: built in {time.monotonic() - started:.0f} s")


def module_folder(source: Source) -> Path:
    """The module in Go's own cache, downloaded and checked against its pinned sum. Raises BuildFailed."""
    command = ["go", "mod", "download", "-json", f"{source.path}@{source.version}"]
    ended = subprocess.run(command, capture_output=True, text=True, env=build_environment(), check=False)
    told = json.loads(ended.stdout or "{}")
    if ended.returncode != 0:
        raise BuildFailed(
            f"{source.path}@{source.version} could not be downloaded: {told.get('Error') or ended.stderr}"
        )
    if told["Sum"] != source.sum:
        raise BuildFailed(f"{source.path}@{source.version} has the sum {told['Sum']}, not the pinned {source.sum}")
    return Path(told["Dir"])


def _folder(binary: Binary, beside: Path) -> Path:
    """Where `go build` runs. Go's cache is read-only, and some builds write: those of a source get a copy of it."""
    if binary.source is None:
        return MODULES / binary.module
    copy = _copy(binary.source, beside / "source")
    if binary.beside is not None:
        other = _copy(binary.beside, beside / "beside")
        # Without its requirements it raises no version, so that everything else is compiled already.
        (other / "go.mod").write_text(f"module {binary.beside.path}\n\ngo 1.25.0\n")
        replaced = f"-replace={binary.beside.path}={other}"
        subprocess.run(["go", "mod", "edit", replaced], cwd=copy, env=build_environment(), check=True)
    return copy


def _copy(source: Source, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(module_folder(source), target, copy_function=shutil.copyfile)
    return target


def _line(label: str, binary: Binary, started: float, *, packages: int) -> str:
    elapsed = time.monotonic() - started
    late = "" if elapsed <= binary.cold_seconds else ", slower than expected: are the cores busy?"
    return f"{label}: {elapsed:.0f} s of about {binary.cold_seconds:.0f} s, {packages} packages compiled{late}"


def _follow(process: subprocess.Popen[bytes], report: Callable[[int], None]) -> list[str]:
    """Read the build's output to its end, report every so often, return its last lines."""
    received: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_pump, args=(process, received), daemon=True).start()
    kept: list[str] = []
    packages, due = 0, time.monotonic() + REPORT_EVERY_SECONDS
    while True:
        try:
            line = received.get(timeout=max(0.0, due - time.monotonic()))
        except queue.Empty:
            report(packages)
            due = time.monotonic() + REPORT_EVERY_SECONDS
            continue
        if line is None:
            return kept
        packages += not line.startswith("go: ")
        kept = [*kept, line][-_KEPT_LINES:]


def _pump(process: subprocess.Popen[bytes], received: queue.Queue[str | None]) -> None:
    assert process.stderr is not None
    for raw in process.stderr:
        received.put(raw.decode(errors="replace").rstrip())
    received.put(None)

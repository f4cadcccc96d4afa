"""A real Prometheus and promtool for tests: those of the machine, or Debian's package unpacked into the user's cache.

    python -m e2e.testbed.prometheus      # prints where they are, fetching them where they are not

The package is unpacked, never installed: no service starts and no root is needed (only `apt-get update`, where the
machine has no package lists yet).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.waiting import wait_until

PROGRAMS: Final = ("prometheus", "promtool")
_SECONDS: Final = 300


class PrometheusUnavailable(RuntimeError):
    """Neither here nor to be had; the message says what to do."""


def folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mfu-e2e" / "prometheus" / "usr" / "bin"


def find(program: str) -> Path | None:
    """The program where it already is, or None."""
    on_path = shutil.which(program)
    if on_path:
        return Path(on_path)
    cached = folder() / program
    return cached if os.access(cached, os.X_OK) else None


def ensure() -> dict[str, Path]:
    """Every program by name, fetched first where one is missing. PrometheusUnavailable where that fails."""
    if any(find(program) is None for program in PROGRAMS):
        _unpack(folder().parents[1])
    return {program: _found(program) for program in PROGRAMS}


def _found(program: str) -> Path:
    found = find(program)
    if found is None:
        raise PrometheusUnavailable(f"the package holds no {program}; install Prometheus and put it on the PATH")
    return found


def _unpack(into: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise PrometheusUnavailable("needs a real Prometheus: install it and put prometheus and promtool on the PATH")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent) as download:
        if not _fetched(download):
            _run(["apt-get", "update", "-qq"], download)
            if not _fetched(download):
                raise PrometheusUnavailable("apt-get download prometheus failed; install it and put it on the PATH")
        for package in Path(download).glob("*.deb"):
            _run(["dpkg-deb", "-x", str(package), str(into)], download)


def _fetched(download: str) -> bool:
    return _run(["apt-get", "download", "-qq", "prometheus"], download)


def _run(command: list[str], cwd: str) -> bool:
    done = subprocess.run(command, cwd=cwd, capture_output=True, check=False, timeout=_SECONDS)
    return done.returncode == 0


@contextmanager
def running(config: Path, *flags: str, port: int | None = None) -> Iterator[str]:
    """URL of a Prometheus with that configuration, ready; its data and its log lie beside the file.

    `port`: where it was before, so that those who ask it find it again.
    """
    folder = config.parent
    (port,) = (port,) if port else free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [
        str(ensure()["prometheus"]),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *flags,
    ]
    with (folder / "prometheus.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: _ready(url, process, folder / "prometheus.log"), what="Prometheus")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


def _ready(url: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    if process.poll() is not None:
        raise PrometheusUnavailable(f"Prometheus ended: {log.read_text()[-2000:]}")
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=1):
            return True
    except OSError:
        return False


def main() -> int:
    try:
        for program, path in ensure().items():
            print(f"{program}: {path}")
    except (PrometheusUnavailable, subprocess.TimeoutExpired) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

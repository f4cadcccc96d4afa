"""The chart as `helm install` brings it to a control plane, for as long as tests of it run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from e2e.testbed.cluster import ControlPlane
from e2e.testbed.cluster.binaries import Progress, ensure_binaries

CHART: Final = Path(__file__).parents[2] / "charts" / "mfu-operator"


@contextmanager
def installed(server: ControlPlane, release: str, *flags: str, space: str, progress: Progress) -> Iterator[None]:
    """`flags` of helm set values; definitions that are there already become the release's."""
    helm = ensure_binaries(["helm"], progress=progress)["helm"]
    environment = {**os.environ, "KUBECONFIG": str(server.kubeconfig)}

    def run(*arguments: str) -> None:
        subprocess.run([helm, *arguments, "--namespace", space], env=environment, check=True, timeout=120)

    run("install", release, str(CHART), "--create-namespace", "--take-ownership", *flags)
    try:
        yield
    finally:
        run("uninstall", release)

"""The chart as `helm install` brings it to a control plane, for as long as tests of it run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from e2e.testbed.cluster import ControlPlane, KubectlFailed, wait_until
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


@contextmanager
def every_right(server: ControlPlane, name: str, *users: str) -> Iterator[None]:
    """Whatever those users may by their roles: a fence must hold where roles would let them through.

    What an earlier try left behind is taken over, and nothing stays.
    """
    of = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name}}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subjects = [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user} for user in users]
    server.apply({**of, "roleRef": role, "subjects": subjects})
    try:
        yield
    finally:
        server.kubectl("delete", "clusterrolebinding", name, "--ignore-not-found")


def refusal(
    server: ControlPlane, *target: str, patch: Any, who: str | None, type: str = "json", dry_run: bool = False
) -> str | None:
    """What the server said to `kubectl patch TARGET` of that user (None: the administrator); None when it was taken."""
    try:
        server.kubectl(
            *("patch", *target, f"--type={type}", "-p", json.dumps(patch)),
            *(() if who is None else (f"--as={who}", "--as-group=system:authenticated")),
            *(("--dry-run=server",) if dry_run else ()),
        )
    except KubectlFailed as error:
        return error.stderr
    return None


def wait_fenced(server: ControlPlane, *target: str, patch: Any, who: str, type: str = "json") -> None:
    """A new admission policy takes a moment to be in force. Tried without a trace: once it was taken, the same patch
    would change nothing, and no fence refuses that."""
    wait_until(
        lambda: refusal(server, *target, patch=patch, who=who, type=type, dry_run=True),
        what=f"the fence around {' '.join(target)}",
        within_seconds=60.0,
    )

"""Access to a cluster by kubeconfig: what the local control plane and a foreign cluster have in common."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from e2e.cluster.binaries import Progress, ensure_binaries


class KubectlFailed(RuntimeError):
    """kubectl exited with an error; `stderr` holds what it said."""

    def __init__(self, arguments: tuple[str, ...], code: int, stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(arguments)} exited with {code}: {stderr.strip()}")
        self.code = code
        self.stderr = stderr


class ClusterAccess:
    """A kubeconfig and a kubectl that uses it."""

    def __init__(self, kubeconfig: Path, *, kubectl: Path, cache: Path) -> None:
        self.kubeconfig = kubeconfig
        self._kubectl = kubectl
        # kubectl caches discovery by host and port, and ports come back in later runs.
        self._environment = {**os.environ, "KUBECACHEDIR": str(cache)}

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 60.0) -> str:
        """Run kubectl and return its output; raises KubectlFailed."""
        done = subprocess.run(
            [self._kubectl, "--kubeconfig", self.kubeconfig, *arguments],
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
        if done.returncode != 0:
            raise KubectlFailed(arguments, done.returncode, done.stderr)
        return done.stdout

    def apply(self, *documents: dict[str, Any], namespace: str | None = None) -> str:
        """Server-side apply of objects given as dictionaries."""
        text = "\n---\n".join(json.dumps(document) for document in documents)
        where = ("--namespace", namespace) if namespace else ()
        return self.kubectl("apply", "--server-side", *where, "-f", "-", stdin=text)

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json`, parsed."""
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def has_service_account(self, namespace: str) -> bool:
        """Whether pods can be made in the namespace: the controller manager has made its default service account."""
        found = self.kubectl("get", "serviceaccount", "default", "-n", namespace, "--ignore-not-found", "-o", "name")
        return bool(found.strip())

    def new_namespace(self, prefix: str = "test") -> str:
        """A fresh namespace. Nobody deletes it: without all controllers it would stay Terminating for ever."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.kubectl("create", "namespace", name)
        return name


class ForeignCluster(ClusterAccess):
    """Somebody else's cluster (kind, a test cluster), reached through MFU_KUBECONFIG; nothing of it is owned here."""

    @classmethod
    @contextmanager
    def use(cls, kubeconfig: Path, *, progress: Progress = print) -> Iterator[ForeignCluster]:
        """The cluster of this kubeconfig, after a look whether it answers."""
        installed = shutil.which("kubectl")
        kubectl = Path(installed) if installed else ensure_binaries(["kubectl"], progress=progress)["kubectl"]
        with tempfile.TemporaryDirectory(prefix="mfu-kubectl-") as cache:
            cluster = cls(kubeconfig, kubectl=kubectl, cache=Path(cache))
            cluster.kubectl("get", "--raw", "/readyz")
            yield cluster

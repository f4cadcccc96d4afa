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

from e2e.testbed.cluster import servers
from e2e.testbed.cluster.binaries import Progress, ensure_binaries
from e2e.testbed.cluster.process import Child
from e2e.testbed.cluster.rest import Refused, Rest
from e2e.testbed.cluster.spoken import Denied, say
from e2e.testbed.cluster.waiting import wait_until


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
        self._rest = Rest(kubeconfig)
        # kubectl caches discovery by host and port, and ports come back in later runs.
        self._environment = {**os.environ, "KUBECACHEDIR": str(cache)}

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 60.0) -> str:
        """What kubectl prints for that; raises KubectlFailed. Common commands are said without starting one."""
        try:
            spoken = say(self._rest, arguments, stdin)
        except Denied:
            raise KubectlFailed(arguments, 1, "") from None
        except Refused as error:
            raise KubectlFailed(arguments, 1, str(error)) from error
        return self.run_kubectl(arguments, stdin, timeout_seconds) if spoken is None else spoken

    def run_kubectl(self, arguments: tuple[str, ...], stdin: str | None = None, timeout_seconds: float = 60.0) -> str:
        """kubectl itself, as a process; raises KubectlFailed."""
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
        """Server-side apply of objects given as dictionaries; raises KubectlFailed when one was refused, after all."""
        applied, refused = [], []
        for document in documents:
            try:
                applied.append(f"{self._apply(document, namespace)} serverside-applied")
            except Refused as error:
                refused.append(str(error))
        if refused:
            raise KubectlFailed(("apply", "--server-side"), 1, "\n".join(refused))
        return "\n".join(applied)

    def _apply(self, document: dict[str, Any], namespace: str | None) -> str:
        done = self._rest.apply(document, namespace)
        if done is not None:
            return done
        where = ("--namespace", namespace) if namespace else ()
        return self.kubectl("apply", "--server-side", *where, "-f", "-", stdin=json.dumps(document)).strip()

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json`, parsed."""
        try:
            found = self._rest.get(arguments)
        except Refused as error:
            raise KubectlFailed(("get", *arguments), 1, str(error)) from error
        return json.loads(self.kubectl("get", *arguments, "-o", "json")) if found is None else found

    def delete(self, *arguments: str) -> None:
        """At once, without waiting for it; what is not there is deleted."""
        self.kubectl("delete", *arguments, "--ignore-not-found", "--wait=false", "--grace-period=0")

    def wait_established(self, *kinds: str, within_seconds: float = 60.0) -> None:
        """Wait until the server serves these definitions (`crd/NAME`, or all): `kubectl wait` ends with an error while
        an object has no conditions yet, which a busy server shows for a moment."""
        wait_until(
            lambda: all(map(_established, self._definitions(kinds))),
            what=f"definitions {', '.join(kinds) or 'of all kinds'} established",
            within_seconds=within_seconds,
        )

    def _definitions(self, kinds: tuple[str, ...]) -> list[dict[str, Any]]:
        found = self.get(*(kinds or ("crd",)))
        items: list[dict[str, Any]] = found.get("items", [found])
        return items

    def has_service_account(self, namespace: str) -> bool:
        """Whether pods can be made in the namespace: the controller manager has made its default service account."""
        found = self.get("serviceaccounts", "-n", namespace)["items"]
        return any(each["metadata"]["name"] == "default" for each in found)

    def new_namespace(self, prefix: str = "test") -> str:
        """A fresh namespace. Nobody deletes it: without all controllers it would stay Terminating for ever."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        if self.has_service_account("default"):
            wait_until(lambda: self.has_service_account(name), what=f"service account in {name}")
        return name


def _established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


class ForeignCluster(ClusterAccess):
    """Somebody else's cluster (kind, a test cluster), reached through MFU_KUBECONFIG; nothing of it is owned here."""

    def __init__(self, kubeconfig: Path, *, kubectl: Path, cache: Path) -> None:
        super().__init__(kubeconfig, kubectl=kubectl, cache=cache)
        self._namespaces: list[str] = []

    @classmethod
    @contextmanager
    def use(cls, kubeconfig: Path, *, progress: Progress = print) -> Iterator[ForeignCluster]:
        """The cluster of this kubeconfig, with KWOK playing its annotated nodes, and without our namespaces after."""
        installed = shutil.which("kubectl")
        kubectl = Path(installed) if installed else ensure_binaries(["kubectl"], progress=progress)["kubectl"]
        with tempfile.TemporaryDirectory(prefix="mfu-foreign-") as folder:
            cluster = cls(kubeconfig, kubectl=kubectl, cache=Path(folder))
            cluster.kubectl("get", "--raw", "/readyz")
            kwok = cluster._kwok(Path(folder), progress)
            try:
                yield cluster
            finally:
                cluster._delete_namespaces()
                if kwok is not None:
                    kwok.stop()

    def new_namespace(self, prefix: str = "test") -> str:
        """A fresh namespace, deleted when the cluster is let go."""
        self._namespaces.append(super().new_namespace(prefix))
        return self._namespaces[-1]

    def _delete_namespaces(self) -> None:
        if self._namespaces:
            self.kubectl("delete", "namespace", "--ignore-not-found", "--wait=false", *self._namespaces)

    def _kwok(self, folder: Path, progress: Progress) -> Child | None:
        """A KWOK of our own, unless the cluster has one: two would fight over the same nodes."""
        found = self.kubectl("get", "deployments", "-A", "-l", "app=kwok-controller", "-o", "name")
        if found.strip():
            return None
        binary = ensure_binaries(["kwok"], progress=progress)["kwok"]
        kwok = Child("kwok", servers.kwok(binary, kubeconfig=self.kubeconfig), log=folder / "kwok.log", home=folder)
        kwok.start()
        return kwok

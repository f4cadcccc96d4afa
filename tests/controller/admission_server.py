"""`mfu admission` as a child process, and the webhook configuration that leads the API server to it."""

from __future__ import annotations

import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from e2e.testbed.cluster import wait_until
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child

NAME = "mfu-admission"
MFU = Path(sys.executable).with_name("mfu")
KINDS = {"modelworkload": "modelworkloads", "mfupolicy": "mfupolicies"}


def configuration(namespace: str, port: int) -> dict[str, Any]:
    """What the chart installs, for a service of that namespace."""
    service = {"name": NAME, "namespace": namespace, "port": port}

    def webhook(path: str, plural: str) -> dict[str, Any]:
        rule = {"apiGroups": ["mfu.gpuaas.io"], "apiVersions": ["v1alpha1"], "operations": ["CREATE", "UPDATE"]}
        return {
            "name": f"{path}.mfu.gpuaas.io",
            "clientConfig": {"service": {**service, "path": f"/{path}"}},
            "rules": [{**rule, "resources": [plural]}],
            "matchConditions": [
                {
                    "name": "spec-is-news",
                    "expression": "request.operation == 'CREATE' || object.spec != oldObject.spec",
                },
                {"name": "is-not-going", "expression": "!has(object.metadata.deletionTimestamp)"},
            ],
            "failurePolicy": "Ignore",
            "timeoutSeconds": 1,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }

    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME},
        "webhooks": [webhook(path, plural) for path, plural in KINDS.items()],
    }


class Admission:
    """One running handler. `kill` ends it as a crash would."""

    def __init__(self, server: ControlPlane, folder: Path, namespace: str) -> None:
        self.server, self.port, health = server, *free_ports(2)
        self.namespace = namespace
        command: list[str | Path] = [
            MFU,
            "admission",
            f"--kubeconfig={server.kubeconfig}",
            f"--host={NAME}.{namespace}.svc",
            f"--certificates={folder / 'certificates'}",
            f"--announce-in={NAME}",
            "--address=127.0.0.1",
            f"--port={self.port}",
            f"--health-port={health}",
        ]
        self.child = Child("mfu-admission", command, log=folder / "admission.log", home=folder)

    def install(self) -> None:
        """The service leads to this machine: an external name, with the port of the child."""
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": self.namespace}}
        spec = {"type": "ExternalName", "externalName": "localhost"}
        self.server.apply({**service, "spec": spec})
        self.server.apply(configuration(self.namespace, self.port))

    def start(self) -> None:
        """Returns when it serves and the API server trusts it."""
        self.child.start()
        wait_until(self.serves, what="the admission handler serving", within_seconds=60)
        wait_until(self.trusted, what="certificate of the admission handler", within_seconds=60)

    def serves(self) -> bool:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            urllib.request.urlopen(f"https://127.0.0.1:{self.port}/none", data=b"{}", context=context, timeout=2)
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def trusted(self) -> bool:
        found = self.server.get("validatingwebhookconfiguration", NAME)
        return all(each["clientConfig"].get("caBundle") for each in found["webhooks"])


@contextmanager
def admission(server: ControlPlane, folder: Path, namespace: str) -> Iterator[Admission]:
    made = Admission(server, folder, namespace)
    made.install()
    made.start()
    try:
        yield made
    finally:
        made.child.stop()
        server.kubectl("delete", "validatingwebhookconfiguration", NAME, "--ignore-not-found")


def applied(server: ControlPlane, document: str, namespace: str) -> subprocess.CompletedProcess[str]:
    """`kubectl apply`, whatever it answers."""
    command: list[str | Path] = [
        server._kubectl,
        "--kubeconfig",
        server.kubeconfig,
        "apply",
        "-n",
        namespace,
        "-f",
        "-",
    ]
    return subprocess.run(
        command, env=server._environment, input=document, capture_output=True, text=True, timeout=30, check=False
    )

"""One kube-apiserver process with administrator's access to it."""

from __future__ import annotations

import ssl
import urllib.request
from pathlib import Path

from e2e.testbed.cluster.client import ClusterAccess
from e2e.testbed.cluster.credentials import write_kubeconfig
from e2e.testbed.cluster.process import Child
from e2e.testbed.cluster.servers import Files


class ApiServer(ClusterAccess):
    """A kube-apiserver: `start`, `stop`, and the access that `ClusterAccess` gives once it has been started."""

    def __init__(self, child: Child, files: Files, *, url: str, kubectl: Path, token: str) -> None:
        super().__init__(files.kubeconfig_of(child.name), kubectl=kubectl, cache=files.kubectl_cache)
        self.child = child
        self.url = url
        self.ca_file = files.serving_certificate
        self.token = token

    def start(self) -> None:
        """Start it and return when it answers /readyz; raises StartFailed."""
        self.child.start()
        self.child.wait_ready(self.is_ready)
        write_kubeconfig(self.kubeconfig, url=self.url, token=self.token, ca_file=self.ca_file)

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """End it; a grace of 0 is a crash."""
        self.child.stop(grace_seconds=grace_seconds)

    def is_ready(self) -> bool:
        """Whether /readyz answers 200 now."""
        try:
            trust = ssl.create_default_context(cafile=str(self.ca_file))
            direct = urllib.request.ProxyHandler({})
            opener = urllib.request.build_opener(direct, urllib.request.HTTPSHandler(context=trust))
            with opener.open(f"{self.url}/readyz", timeout=2):
                return True
        except OSError:
            return False

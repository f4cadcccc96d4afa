"""kopf speaks to the API server as we do: by the same kubeconfig (exec plugins included) or service account."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kopf

from mfu.cluster.connection import Connection, connect


def add_login(registry: kopf.OperatorRegistry, kubeconfig: Path | None) -> None:
    """kopf asks at its start and after each 401: the connection is made anew, so that an exec plugin runs again."""

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return credentials(connect(kubeconfig))


def credentials(connection: Connection) -> kopf.ConnectionInfo:
    """The connection in kopf's words."""
    scheme, _, token = connection.headers().get("Authorization", "").partition(" ")
    trust = connection.trust
    return kopf.ConnectionInfo(
        server=connection.url,
        ca_path=trust.ca_file,
        insecure=not trust.verified,
        scheme=scheme or None,
        token=token or None,
        certificate_path=trust.certificate_file,
        private_key_path=trust.key_file,
    )

"""Where the API server is and how to speak to it: kubeconfig (exec plugins included) or the pod's service account."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class NoCluster(Exception):
    """No kubeconfig and no service account: there is nothing to connect to."""


@dataclass(slots=True)
class Connection:
    """Address, trust and a way to fresh credentials; tokens expire, so headers are asked for on each request."""

    url: str
    ssl_context: ssl.SSLContext | None
    _configuration: Any
    _token_file: Path | None = None

    def headers(self) -> dict[str, str]:
        if self._token_file is not None:
            return {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}
        token = self._configuration.get_api_key_with_prefix(
            "authorization"
        ) or self._configuration.get_api_key_with_prefix("BearerToken")
        return {"Authorization": token} if token else {}


def connect(kubeconfig: Path | str | None = None, context: str | None = None) -> Connection:
    """Explicit kubeconfig, else $KUBECONFIG, else the service account, else ~/.kube/config.

    Raises NoCluster with what was looked for.
    """
    chosen = kubeconfig or os.environ.get("KUBECONFIG")
    if chosen:
        return _from_kubeconfig(Path(chosen), context)
    if (SERVICE_ACCOUNT / "token").exists():
        return _from_service_account()
    default = Path.home() / ".kube" / "config"
    if default.exists():
        return _from_kubeconfig(default, context)
    raise NoCluster("no cluster: pass --kubeconfig, set KUBECONFIG, or run inside a pod with a service account")


def _from_kubeconfig(path: Path, context: str | None) -> Connection:
    if not path.exists():
        raise NoCluster(f"kubeconfig {path} does not exist")
    # Importing the client costs 60 MiB, and a pod with a service account does without it.
    from kubernetes import client as kubernetes_client
    from kubernetes import config as kubernetes_config

    configuration = kubernetes_client.Configuration()
    try:
        kubernetes_config.load_kube_config(str(path), context=context, client_configuration=configuration)
        return Connection(configuration.host.rstrip("/"), _ssl(configuration), configuration)
    except kubernetes_config.ConfigException as error:
        raise NoCluster(f"kubeconfig {path}: {error}") from error
    # The client lets through whatever its parser and its look-ups raise on a file that is no kubeconfig.
    except (OSError, UnicodeDecodeError, YAMLError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise NoCluster(f"kubeconfig {path}: is none that can be read: {said}") from error


def _from_service_account() -> Connection:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    address = f"[{host}]" if ":" in host else host
    context = ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
    return Connection(f"https://{address}:{port}", context, None, SERVICE_ACCOUNT / "token")


def _ssl(configuration: Any) -> ssl.SSLContext | None:
    if not configuration.host.startswith("https"):
        return None
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context

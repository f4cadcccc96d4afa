"""Where the API server is and how to speak to it: kubeconfig (exec plugins included) or the pod's service account."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError, safe_load

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class NoCluster(Exception):
    """No kubeconfig and no service account: there is nothing to connect to."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The files behind `ssl_context`, for libraries that build their own."""

    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    verified: bool = True


@dataclass(slots=True)
class Connection:
    """Address, trust and a way to fresh credentials; tokens expire, so headers are asked for on each request."""

    url: str
    ssl_context: ssl.SSLContext | None
    _configuration: Any
    _token_file: Path | None = None
    trust: Trust = Trust()
    _again: Callable[[], Any] | None = None

    def headers(self) -> dict[str, str]:
        if self._token_file is not None:
            return {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}
        token = self._configuration.get_api_key_with_prefix(
            "authorization"
        ) or self._configuration.get_api_key_with_prefix("BearerToken")
        return {"Authorization": token} if token else {}

    def renew(self) -> None:
        """After a 401: read the kubeconfig again, which runs its exec plugin again. A token file is read each time."""
        if self._again is not None:
            self._configuration = self._again()


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
    configuration = _load(path, context)
    trust = Trust(
        configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file, bool(configuration.verify_ssl)
    )
    address = configuration.host.rstrip("/")
    return Connection(address, _ssl(address, trust), configuration, trust=trust, _again=lambda: _load(path, context))


def _load(path: Path, context: str | None) -> Any:
    # Importing the client costs 60 MiB, and a pod with a service account does without it.
    from kubernetes import client as kubernetes_client
    from kubernetes import config as kubernetes_config

    configuration = kubernetes_client.Configuration()
    try:
        kubernetes_config.load_kube_config(str(path), context=context, client_configuration=configuration)
        return configuration
    except kubernetes_config.ConfigException as error:
        raise NoCluster(f"kubeconfig {path}: {error}") from error
    # The client lets through whatever its parser and its look-ups raise on a file that is no kubeconfig.
    except (OSError, UnicodeDecodeError, YAMLError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise NoCluster(f"kubeconfig {path}: is none that can be read: {said}") from error


def _from_service_account() -> Connection:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    address = f"[{host}]" if ":" in host else host
    trust, url = Trust(str(SERVICE_ACCOUNT / "ca.crt")), f"https://{address}:{port}"
    return Connection(url, _ssl(url, trust), None, SERVICE_ACCOUNT / "token", trust)


def _ssl(url: str, trust: Trust) -> ssl.SSLContext | None:
    if not url.startswith("https"):
        return None
    context = ssl.create_default_context(cafile=trust.ca_file)
    if not trust.verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if trust.certificate_file:
        context.load_cert_chain(trust.certificate_file, trust.key_file)
    return context


def context_namespace(kubeconfig: Path | str | None = None, context: str | None = None) -> str:
    """The namespace that kubectl would take: the context's, else the pod's own, else "default"."""
    chosen = kubeconfig or os.environ.get("KUBECONFIG")
    own = SERVICE_ACCOUNT / "namespace"
    if not chosen and own.exists():
        return own.read_text().strip() or "default"
    path = Path(chosen) if chosen else Path.home() / ".kube" / "config"
    return _namespace(path, context) or "default" if path.exists() else "default"


def _namespace(path: Path, context: str | None) -> str | None:
    """None also where the file can not be read: connecting says why."""
    try:
        found = safe_load(path.read_text())
        name = context or found["current-context"]
        listed = [each["context"] for each in found["contexts"] if each["name"] == name]
    except (OSError, UnicodeDecodeError, YAMLError, TypeError, KeyError):
        return None
    return listed[0].get("namespace") if listed else None

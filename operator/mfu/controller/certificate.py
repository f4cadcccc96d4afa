"""The own certificate of a process that the API server calls: made at start, made anew in time, and made known to it.

The API server trusts what stands in the webhook configuration's caBundle. Several pods, old and new ones, may serve at
once, so each adds its certificate and keeps the newest few of the others.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from mfu.cluster.client import ApiError, KubeClient, ServerUnreachable
from mfu.cluster.connection import connect
from mfu.cluster.resources import JSON, ResourcePath

log = logging.getLogger(__name__)

WEBHOOKS: Final = ResourcePath(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
MUTATING_WEBHOOKS: Final = ResourcePath(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
DAYS: Final = 30
RENEW_SECONDS: Final = 20 * 86_400.0
CHECK_SECONDS: Final = 60.0
MOST_CERTIFICATES: Final = 4
_END: Final = "-----END CERTIFICATE-----\n"


class NoCertificate(Exception):
    """No certificate could be made; the message says what to do."""


async def make(folder: Path, host: str) -> str:
    """A self-signed certificate for `host` as tls.crt and tls.key in `folder`; returns the certificate, PEM."""
    program = shutil.which("openssl")
    if program is None:
        raise NoCertificate("openssl is not installed: mount tls.crt and tls.key, as cert-manager makes them")
    key, certificate = folder / "tls.key.new", folder / "tls.crt.new"
    command = [program, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", str(DAYS), "-subj", "/CN=mfu-admission", "-addext", f"subjectAltName=DNS:{host}"]
    command += ["-addext", "extendedKeyUsage=serverAuth", "-keyout", str(key), "-out", str(certificate)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode:
        raise NoCertificate(f"openssl made no certificate: {said.decode(errors='replace').strip()[-300:]}")
    key.chmod(0o600)
    key.replace(folder / "tls.key")
    certificate.replace(folder / "tls.crt")
    return (folder / "tls.crt").read_text()


def bundled(bundle: str, own: str) -> str:
    """`own` first, then the newest others: `bundled(a + b, c) == c + a + b`, and a certificate stands once."""
    others = [part + _END for part in bundle.split(_END) if part.strip()]
    kept = [each for each in others if each.strip() != own.strip()]
    return "".join([own, *kept][:MOST_CERTIFICATES])


async def announce(client: KubeClient, configuration: str, own: str, *, webhooks: ResourcePath = WEBHOOKS) -> None:
    """Have the API server trust `own` for every webhook of that configuration. Writes only where that is news."""
    found = await client.get(webhooks, configuration)
    patch = _patch(found, own)
    if patch:
        path = webhooks.path(None, configuration)
        await client.request("PATCH", path, body=patch, content_type="application/json-patch+json")
        log.info("certificate announced configuration=%s", configuration)


def _patch(found: JSON, own: str) -> list[dict[str, Any]]:
    """JSON patch that fails when somebody else wrote in between."""
    changes = []
    for row, webhook in enumerate(found.get("webhooks") or ()):
        bundle = base64.b64decode(webhook["clientConfig"].get("caBundle") or "").decode()
        if own.strip() in bundle:
            continue
        text = base64.b64encode(bundled(bundle, own).encode()).decode()
        changes.append({"op": "add", "path": f"/webhooks/{row}/clientConfig/caBundle", "value": text})
    version = found["metadata"]["resourceVersion"]
    return [{"op": "test", "path": "/metadata/resourceVersion", "value": version}, *changes] if changes else []


async def keep(
    client: KubeClient, folder: Path, host: str, configuration: str, *, webhooks: ResourcePath = WEBHOOKS
) -> None:
    """For ever: see that the API server trusts our certificate, and make a new one in time."""
    clock = asyncio.get_running_loop()
    made, own = clock.time(), (folder / "tls.crt").read_text()
    while True:
        try:
            await announce(client, configuration, own, webhooks=webhooks)
        except (ApiError, ServerUnreachable) as error:
            log.warning("certificate not announced: %s", error)
        await asyncio.sleep(CHECK_SECONDS)
        if clock.time() - made > RENEW_SECONDS:
            made, own = clock.time(), await make(folder, host)


async def keep_own(
    running: AsyncExitStack,
    folder: Path,
    host: str,
    configuration: str | None,
    *,
    kubeconfig: Path | None,
    webhooks: ResourcePath = WEBHOOKS,
) -> None:
    """Where the certificate is ours (a `configuration` is named): make it before serving, and keep it trusted."""
    if configuration is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    await make(folder, host)
    client = await running.enter_async_context(KubeClient(connect(kubeconfig)))
    keeping = asyncio.create_task(keep(client, folder, host, configuration, webhooks=webhooks), name="certificate")
    running.callback(keeping.cancel)

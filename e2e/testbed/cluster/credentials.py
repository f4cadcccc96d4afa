"""Throw-away credentials of one local control plane: tokens, the service-account key, kubeconfigs."""

from __future__ import annotations

import base64
import json
import secrets
from pathlib import Path

# Order of the group of NIST P-256 (SEC 2 v2, 2.4.2): a private key is any number from 1 to one below it.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_P256_OBJECT_ID = bytes.fromhex("06082a8648ce3d030107")


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner can read."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def write_signing_key(path: Path) -> Path:
    """A fresh P-256 key in the form of RFC 5915, with which the API server signs service-account tokens.

    The public point is left out, as the RFC allows: its readers compute it. So no cryptographic library is needed.
    """
    scalar = (1 + secrets.randbelow(_P256_ORDER - 1)).to_bytes(32, "big")
    fields = _der(0x02, b"\x01") + _der(0x04, scalar) + _der(0xA0, _P256_OBJECT_ID)
    body = base64.encodebytes(_der(0x30, fields)).decode()
    return write_private(path, f"-----BEGIN EC PRIVATE KEY-----\n{body}-----END EC PRIVATE KEY-----\n")


def write_token_file(path: Path, users: dict[str, str]) -> Path:
    """The API server's static token file: user name to token, each in the group that may do everything."""
    lines = [f'{token},{user},{user},"system:masters"\n' for user, token in users.items()]
    return write_private(path, "".join(lines))


def write_kubeconfig(path: Path, *, url: str, token: str, ca_file: Path, namespace: str = "default") -> Path:
    """A self-contained kubeconfig (JSON is YAML): server, its CA inline, and a bearer token."""
    authority = base64.b64encode(ca_file.read_bytes()).decode()
    context = {"cluster": "mfu", "user": "mfu", "namespace": namespace}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "mfu",
        "clusters": [{"name": "mfu", "cluster": {"server": url, "certificate-authority-data": authority}}],
        "users": [{"name": "mfu", "user": {"token": token}}],
        "contexts": [{"name": "mfu", "context": context}],
    }
    return write_private(path, json.dumps(config, indent=1) + "\n")


def _der(tag: int, content: bytes) -> bytes:
    """One DER field; content of less than 128 bytes, which every field of a P-256 key has."""
    return bytes([tag, len(content)]) + content

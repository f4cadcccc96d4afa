"""The handler's own certificate: what is made, and what a bundle of several keeps."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import pytest

from mfu.controller.certificate import MOST_CERTIFICATES, NoCertificate, _patch, bundled, make


def pem(name: str) -> str:
    return f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n"


A, B, C = pem("a"), pem("b"), pem("c")


@pytest.mark.parametrize(
    ("bundle", "own", "made"),
    [("", A, A), (A, A, A), (A + B, C, C + A + B), (A + B, B, B + A)],
)
def test_own_first_and_each_once(bundle: str, own: str, made: str) -> None:
    assert bundled(bundle, own) == made


def test_old_ones_are_forgotten() -> None:
    bundle = ""
    for number in range(10):
        bundle = bundled(bundle, pem(str(number)))
    assert bundle.count("BEGIN") == MOST_CERTIFICATES
    assert bundle.startswith(pem("9"))


def test_only_news_is_written_and_only_on_the_version_that_was_read() -> None:
    known = base64.b64encode(A.encode()).decode()
    found = {
        "metadata": {"resourceVersion": "7"},
        "webhooks": [{"clientConfig": {"caBundle": known}}, {"clientConfig": {}}],
    }
    test, add = _patch(found, A)
    assert (test["op"], test["value"]) == ("test", "7")
    assert (add["path"], base64.b64decode(add["value"]).decode()) == ("/webhooks/1/clientConfig/caBundle", A)
    found["webhooks"][1]["clientConfig"]["caBundle"] = known  # type: ignore[index]
    assert _patch(found, A) == []


async def test_a_certificate_serves_its_host_and_is_kept_to_ourselves(tmp_path: Path) -> None:
    made = await make(tmp_path, "mfu-admission.mfu-system.svc")
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    trusting = ssl.create_default_context(cadata=made)
    (certificate,) = trusting.get_ca_certs()
    assert ("DNS", "mfu-admission.mfu-system.svc") in certificate["subjectAltName"]
    assert (tmp_path / "tls.key").stat().st_mode & 0o777 == 0o600
    assert await make(tmp_path, "mfu-admission.mfu-system.svc") != made


async def test_without_openssl_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCertificate, match="cert-manager"):
        await make(tmp_path, "a.b.svc")

"""Certificates of one run, made by openssl: an authority, and pairs that it signs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


@dataclass(frozen=True, slots=True)
class Pair:
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority that lives in `folder` as NAME.crt and NAME.key."""

    folder: Path
    name: str

    @property
    def certificate(self) -> Path:
        return self.folder / f"{self.name}.crt"

    @classmethod
    def make(cls, folder: Path, name: str) -> Authority:
        made = cls(folder, name)
        key = folder / f"{name}.key"
        _openssl("req", "-x509", *_CURVE, "-subj", f"/CN={name}", "-keyout", key, "-out", made.certificate)
        return made

    def sign(self, name: str, *, usage: str, names: str = "") -> Pair:
        """A pair for the common name `name`; `names` is a subjectAltName, `usage` an extendedKeyUsage."""
        pair = Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        extensions = ["-addext", f"extendedKeyUsage={usage}"]
        extensions += ["-addext", f"subjectAltName={names}"] if names else []
        signer = ("-CA", self.certificate, "-CAkey", self.folder / f"{self.name}.key")
        _openssl(
            "req", "-x509", *_CURVE, *signer, "-subj", f"/CN={name}", *extensions,
            "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", pair.key, "-out", pair.certificate,
        )  # fmt: skip
        return pair


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()[-300:]}")

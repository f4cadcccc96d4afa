"""The image's bill of materials: CycloneDX 1.6 on standard output, from what is installed beside this Python.

Standard library alone, since it runs where the image is built: a library that writes the list (cyclonedx-bom) would
bring 24 packages to a build that has 40, and those would have to be trusted as well.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from typing import Any


def component(found: Distribution) -> dict[str, Any]:
    """One installed package by name, version and licence; `pkg:pypi/` is how package URLs call where it came from."""
    name = re.sub(r"[-_.]+", "-", found.name).lower()
    purl = f"pkg:pypi/{name}@{found.version}"
    entry = {"type": "library", "bom-ref": purl, "name": name, "version": found.version, "purl": purl}
    licence = licence_of(found)
    return {**entry, "licenses": [licence]} if licence else entry


def licence_of(found: Distribution) -> dict[str, Any] | None:
    """The SPDX expression where the package gives one, else the name that it gives; None where it gives none."""
    said = found.metadata.json
    if expression := said.get("license_expression"):
        return {"expression": expression}
    classified = [each for each in said.get("classifier", ()) if each.startswith("License :: ")]
    name = classified[0].rpartition(" :: ")[2] if classified else str(said.get("license", "")).partition("\n")[0]
    return {"license": {"name": name}} if name else None


def document(version: str) -> dict[str, Any]:
    found = {each["purl"]: each for each in map(component, distributions())}
    product = {"type": "application", "name": "mfu-operator", "version": version, "bom-ref": "mfu-operator"}
    python = {"type": "platform", "name": "cpython", "version": sys.version.split()[0], "bom-ref": "cpython"}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": product},
        "components": [python, *(found[purl] for purl in sorted(found))],
    }


if __name__ == "__main__":
    print(json.dumps(document(sys.argv[1]), indent=1))

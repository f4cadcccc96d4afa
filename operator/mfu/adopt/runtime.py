"""`spec.runtime`: the engine and its version, from what is installed at the start, the kind, or the image's tag."""

from __future__ import annotations

from mfu.adopt.containers import Container
from mfu.adopt.engines import EngineKeys
from mfu.adopt.findings import Findings
from mfu.adopt.layout import version_of
from mfu.adopt.units import Unit


def runtime(unit: Unit, engine: EngineKeys, container: Container | None, findings: Findings) -> None:
    image = container.image if container else ""
    if not engine.name:
        findings.unknown("runtime.engine", f"neither the command nor the image {image!r} is of an engine that is known")
        return
    findings.read("runtime.engine", engine.name, "command or image")
    version, why = _version(unit, engine, container)
    if version:
        findings.read("runtime.version", version, why)
    else:
        findings.unknown(
            "runtime.version", f"image {image!r} names no version of {engine.name}" if image else "no image"
        )


def _version(unit: Unit, engine: EngineKeys, container: Container | None) -> tuple[str, str]:
    words = " ".join(container.command) if container else ""
    packages = unit.given.get("packages", ("", ""))[0]
    pinned = engine.pinned(f"{words} {packages}")
    if pinned:
        return pinned, f"{engine.name} {pinned} is installed at the start"
    if "version" in unit.given:
        return str(unit.given["version"][0]), str(unit.given["version"][1])
    image = container.image if container else ""
    own = engine.image.search(image.lower())
    return (version_of(image, by_calendar=engine.by_calendar) if own else ""), f"image {image}"

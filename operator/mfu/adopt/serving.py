"""`spec.inference` from the arguments of a serving engine."""

from __future__ import annotations

from typing import Final

from mfu.adopt.commands import Command
from mfu.adopt.engines import EngineKeys
from mfu.adopt.findings import Findings
from mfu.adopt.layout import degree, settle
from mfu.adopt.units import Unit

_INPUT_MEAN: Final = 1024
_OUTPUT_MEAN: Final = 256
_CONCURRENCY: Final = 64
_PHASES: Final = {"prefill": "Prefill", "decode": "Decode"}
_NO_TRAFFIC: Final = "no manifest says what requests look like: measure it and correct this"


def serving(unit: Unit, command: Command, engine: EngineKeys, count: int, findings: Findings) -> None:
    """Layout, batch and replicas; the traffic is assumed, and said to be."""
    findings.declared.setdefault("inference", {})
    _phase(unit, command, engine, findings)
    _compilation(command, engine, findings)
    _layout(command, engine, findings)
    settle("inference", count, findings, engine)
    _traffic(unit, command, engine, findings)
    _replicas(unit, findings)


def _phase(unit: Unit, command: Command, engine: EngineKeys, findings: Findings) -> None:
    if unit.phase:
        findings.read("inference.phase", unit.phase, "its own part of a disaggregated deployment")
        return
    mode = command.find(*engine.at("phase")) if engine.at("phase") else None
    switch = command.on("is_prefill_worker")
    named = _PHASES.get(str(mode.value).lower()) if mode else "Prefill" if switch else None
    if named:
        source = mode or switch
        findings.read("inference.phase", named, source.source if source else "")


def _compilation(command: Command, engine: EngineKeys, findings: Findings) -> None:
    """Without CUDA graphs every kernel waits for the host that launches it."""
    uncompiled = command.on(*engine.at("uncompiled")) if engine.at("uncompiled") else None
    if uncompiled is not None:
        findings.read("runtime.compilation", "None", uncompiled.source)


def _layout(command: Command, engine: EngineKeys, findings: Findings) -> None:
    block = "inference.parallelism"
    for thing in ("tensor", "pipeline"):
        degree(command, engine, thing, f"{block}.{thing}", findings)
    inside = command.on(*engine.at("inside")) if engine.at("inside") else None
    if inside is None:
        degree(command, engine, "data", f"{block}.data", findings)
    else:
        findings.unknown(f"{block}.data", f"{inside.source}: attention copies live inside the tensor-parallel group")
    degree(command, engine, "expert_degree", f"{block}.expert", findings)
    spread = command.on(*engine.at("expert")) if engine.at("expert") else None
    if spread is not None:
        ranks = int(findings.value(f"{block}.tensor") or 1) * int(findings.value(f"{block}.data") or 1)
        findings.read(f"{block}.expert", ranks, f"{spread.source}: over all tensor and data ranks")


def _traffic(unit: Unit, command: Command, engine: EngineKeys, findings: Findings) -> None:
    longest = command.number(*engine.at("context_length")) if engine.at("context_length") else None
    limit = longest[0] if longest else 4 * _INPUT_MEAN
    findings.assume("inference.inputTokens", {"mean": min(_INPUT_MEAN, max(1, limit * 3 // 4))}, _NO_TRAFFIC)
    findings.assume("inference.outputTokens", {"mean": min(_OUTPUT_MEAN, max(1, limit // 4))}, _NO_TRAFFIC)
    _concurrency(unit, command, engine, findings)
    tokens = command.number(*engine.at("batch_tokens")) if engine.at("batch_tokens") else None
    if tokens is not None:
        findings.read("inference.maxBatchTokens", tokens[0], tokens[1])
    elif "batch_tokens" in engine.habits:
        findings.assume("inference.maxBatchTokens", engine.habits["batch_tokens"], f"default of {engine.name}")


def _concurrency(unit: Unit, command: Command, engine: EngineKeys, findings: Findings) -> None:
    ongoing = unit.given.get("ongoing")
    most = command.number(*engine.at("concurrency")) if engine.at("concurrency") else None
    if ongoing:
        findings.read("inference.concurrency", int(ongoing[0]), ongoing[1])
    elif most is not None:
        findings.assume(
            "inference.concurrency", most[0], f"{most[1]}: the most it admits; what really runs may be less"
        )
    else:
        value = min(engine.habits.get("concurrency", _CONCURRENCY), _CONCURRENCY)
        findings.assume("inference.concurrency", value, _NO_TRAFFIC)


def _replicas(unit: Unit, findings: Findings) -> None:
    low, high = unit.replicas
    findings.read("inference.replicas", {"min": low, "max": high}, "replicas of the object")

"""`spec.training` from the arguments and config files of a training framework."""

from __future__ import annotations

from typing import Final

from mfu.adopt.commands import Command, Setting, truth
from mfu.adopt.engines import EngineKeys
from mfu.adopt.findings import Findings
from mfu.adopt.layout import degree, settle

_SEQUENCE: Final = 4096
_OPTIMIZERS: Final = {"adamw": "AdamW", "adam": "AdamW", "sgd": "SGD", "lion": "Lion", "adafactor": "Adafactor"}
_FSDP: Final = {"hybrid": "HSDP", "grad_op": "ZeRO2", "no_shard": "DDP", "full": "FSDP"}
"""Words in what people write: full, full_shard, FULL_SHARD, hybrid_shard, SHARD_GRAD_OP."""
_STRATEGIES: Final = {"1": "full", "2": "grad_op", "3": "no_shard", "4": "hybrid", "5": "hybrid"}
"""accelerate's numbers (utils/constants.py, FSDP_SHARDING_STRATEGY)."""
_STAGES: Final = {0: "DDP", 1: "ZeRO1", 2: "ZeRO2", 3: "ZeRO3"}


_WHOLE: Final = ("", "false", "none", "0", "full")
"""What people write for an adapter where there is none."""
_RECOMPUTE: Final = {"torchtitan": "Selective", "MaxText": "Full", "LLaMA-Factory": "Full", "ms-swift": "Full"}
"""What a framework does unless told (torchtitan job_config, MaxText base.yml, LLaMA-Factory
disable_gradient_checkpointing: false, ms-swift gradient_checkpointing: true); the others keep all activations."""


def training(command: Command, engine: EngineKeys, count: int, findings: Findings) -> None:
    """Layout, batch, sharding and memory saving; what a framework leaves to a file in its image is not known."""
    findings.declared.setdefault("training", {})
    block = "training.parallelism"
    for thing in ("tensor", "pipeline", "context"):
        degree(command, engine, thing, f"{block}.{thing}", findings)
    degree(command, engine, "expert_degree", f"{block}.expert", findings)
    settle("training", count, findings, engine)
    _sequence(command, engine, findings)
    _batch(command, engine, findings)
    _sharding(command, engine, findings)
    _recompute(command, engine, findings)
    _method(command, engine, findings)
    _optimizer(command, engine, findings)


def _number(command: Command, engine: EngineKeys, thing: str) -> tuple[int, str] | None:
    return command.number(*engine.at(thing)) if engine.at(thing) else None


def _setting(command: Command, engine: EngineKeys, thing: str) -> Setting | None:
    return command.find(*engine.at(thing)) if engine.at(thing) else None


def _sequence(command: Command, engine: EngineKeys, findings: Findings) -> None:
    found = _number(command, engine, "sequence")
    if found is not None:
        findings.read("training.sequenceLength", *found)
        return
    usual = engine.habits.get("sequence")
    why = f"default of {engine.name}" if usual else "nothing says it; it may stand in a file of the image"
    findings.assume("training.sequenceLength", usual or _SEQUENCE, why)


def _batch(command: Command, engine: EngineKeys, findings: Findings) -> None:
    """Global batch as stated, else micro-batch x accumulation x data ranks, each as stated or assumed."""
    ranks = int(findings.value("training.parallelism.data") or 1)
    total, micro = _number(command, engine, "global_batch"), _number(command, engine, "micro_batch")
    steps = _number(command, engine, "accumulation")
    if micro is not None:
        findings.read("training.microBatchSize", *micro)
    else:
        size = _divisor(engine.habits.get("micro_batch", 1), total[0] // ranks if total else 0)
        why = f"default of {engine.name}" if "micro_batch" in engine.habits else "nothing says it"
        findings.assume("training.microBatchSize", size, why)
    each = int(findings.value("training.microBatchSize"))
    if total is not None and total[0] % (each * ranks) == 0:
        findings.read("training.globalBatchSize", *total)
        return
    if total is not None:
        findings.unknown("training.globalBatchSize", f"{total[1]}: no multiple of {each} x {ranks} ranks")
    batch = each * ranks * (steps[0] if steps else 1)
    why = f"micro-batch {each} x {ranks} ranks x accumulation {steps[0] if steps else '1 (not stated)'}"
    (findings.read if micro and steps else findings.assume)("training.globalBatchSize", batch, why)


def _divisor(wanted: int, of: int) -> int:
    """The largest divisor of `of` up to `wanted`; `wanted` where there is nothing to divide."""
    return next((size for size in range(wanted, 0, -1) if of % size == 0), 1) if of > 0 else wanted


def _sharding(command: Command, engine: EngineKeys, findings: Findings) -> None:
    stage = _number(command, engine, "stage") or _stage_in_name(_setting(command, engine, "deepspeed"))
    fsdp = _fsdp(command, engine)
    if stage is not None and stage[0] in _STAGES:
        findings.read("training.sharding", _STAGES[stage[0]], stage[1])
    elif fsdp is not None and fsdp.value not in ("", [], False):
        text = str(fsdp.value).lower()
        named = next((name for mark, name in _FSDP.items() if mark in text), "FSDP")
        findings.read("training.sharding", named, fsdp.source)
    elif engine.at("distributed_optimizer") and (switch := command.on(*engine.at("distributed_optimizer"))) is not None:
        findings.read("training.sharding", "ZeRO1", switch.source)
    elif engine.at("sharded") == ("optimizer",):
        findings.assume("training.sharding", "ZeRO1", f"recipes of {engine.name} share out the optimizer's state")
    elif engine.at("sharded"):
        replicas = _number(command, engine, "replicate")
        findings.assume(
            "training.sharding", "HSDP" if replicas and replicas[0] > 1 else "FSDP", f"{engine.name} shards"
        )
    else:
        findings.assume("training.sharding", "DDP", "nothing says that ranks share out state")


def _fsdp(command: Command, engine: EngineKeys) -> Setting | None:
    """The framework's own key; else what accelerate and Axolotl nest under fsdp_config, whose second version tells by
    a switch what its first told by a word or a number.
    """
    own = _setting(command, engine, "fsdp")
    if not engine.at("fsdp") or (own is not None and own.value not in ("", [], False, None)):
        return own
    strategy = command.find("fsdp_config.fsdp_sharding_strategy", "fsdp_config.sharding_strategy")
    if strategy is not None:
        return Setting(_STRATEGIES.get(str(strategy.value), strategy.value), strategy.source)
    reshards = command.find("fsdp_config.fsdp_reshard_after_forward", "fsdp_config.reshard_after_forward")
    if reshards is not None:
        return Setting("full" if truth(reshards.value) else "grad_op", reshards.source)
    return command.on("use_fsdp") or command.find("fsdp_version", "fsdp_config.fsdp_version")


def _stage_in_name(setting: Setting | None) -> tuple[int, str] | None:
    """`deepspeed: ds_config_zero3.json` names its stage; what else is in the file is not known."""
    text = str(setting.value).lower() if setting is not None else ""
    stage = next((stage for stage in (1, 2, 3) if f"zero{stage}" in text or f"zero_{stage}" in text), None)
    stage = stage or next((each for each in (1, 2, 3) if f"stage{each}" in text or f"z{each}" in text), None)
    return None if setting is None or stage is None else (stage, setting.source)


def _recompute(command: Command, engine: EngineKeys, findings: Findings) -> None:
    granularity, remat = _setting(command, engine, "recompute"), _setting(command, engine, "remat")
    full, selective = _setting(command, engine, "full_recompute"), _setting(command, engine, "selective")
    if granularity is not None:
        known = {"full": "Full", "selective": "Selective", "none": "None", "true": "Full"}
        named = known.get(str(granularity.value).lower())
        if named:
            findings.read("training.recompute", named, granularity.source)
    elif selective is not None and truth(selective.value):
        findings.read("training.recompute", "Selective", selective.source)
    elif full is not None and truth(full.value):
        findings.read("training.recompute", "Full", full.source)
    elif remat is not None:
        named = {"full": "Full", "minimal": "Selective"}.get(str(remat.value).lower())
        if named:
            findings.read("training.recompute", named, remat.source)
    if not findings.holds("training.recompute"):
        findings.assume(
            "training.recompute", _RECOMPUTE.get(engine.name, "None"), "not stated; what it does unless told"
        )


def _method(command: Command, engine: EngineKeys, findings: Findings) -> None:
    adapter = _setting(command, engine, "adapter")
    recipe = next((word for word in command.words if word.startswith(("lora_", "qlora_"))), None)
    if recipe is not None:
        findings.read("training.method", "LoRA", f"recipe {recipe}")
    elif adapter is not None and str(adapter.value).lower() == "freeze":
        findings.unknown("training.method", f"{adapter.source}: trains some layers; counted as if it trained all")
    elif adapter is not None and str(adapter.value).lower() not in _WHOLE:
        findings.read("training.method", "LoRA", adapter.source)


def _optimizer(command: Command, engine: EngineKeys, findings: Findings) -> None:
    found = _setting(command, engine, "optimizer")
    if found is None:
        findings.assume("training.optimizer", "AdamW", "not stated; the usual one")
        return
    text = str(found.value).lower()
    named = next((name for mark, name in _OPTIMIZERS.items() if mark in text), None)
    if named is None:
        findings.unknown("training.optimizer", f"{found.source} is none that is known")
    else:
        findings.read("training.optimizer", named, found.source)

"""Which model it is: from what the person says, the arguments, the names under which it is served, or its image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mfu.adopt.commands import Command, Setting
from mfu.adopt.described import described
from mfu.adopt.engines import EngineKeys
from mfu.adopt.findings import Findings
from mfu.adopt.model import model_block, precision_block
from mfu.adopt.names import NamedModel, named_model
from mfu.workload.huggingface import Understood

_FLAVOUR_FAMILIES: Final = ("llama3", "llama2", "llama4", "qwen3", "deepseek")


@dataclass(frozen=True, slots=True)
class Given:
    """What the person says beside the manifest."""

    model: str = ""
    config: Understood | None = None
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def model_of(command: Command, engine: EngineKeys, given: Given, findings: Findings) -> NamedModel | None:
    if given.config is not None:
        findings.read("model", model_block(given.config.architecture), "the config.json that was given")
        formats = precision_block(given.config.precision)
        for key, value in formats.items():
            findings.read(f"precision.{key}", value, "quantization_config of the config.json")
        return None
    if given.model:
        return _put_model(given.model, "--model", findings)
    if engine.name in ("Megatron", "NeMo") and described(command, findings):
        return None
    found, served = model_name(command, engine), _served(command) if engine.serves else None
    unnamed = found is None or named_model(str(found.value)).block is None
    if served is not None and unnamed:
        model = named_model(str(served.value))
        why = f"{served.source}: {model.name}; what it loads is not named so"
        findings.assume("model", dict(model.block or {}), why)
        return model
    if found is None:
        findings.unknown("model", "no argument or file names it: pass --model PRESET or --config config.json")
        return None
    return _put_model(str(found.value), found.source, findings)


def _served(command: Command) -> Setting | None:
    """The name under which it is served, where that is a model's own: `--model /mnt/models` does not say which."""
    plain = ("served_model_name", "model_name", "nim_served_model_name")
    keys = (each for name in plain for each in (name, f"env.{name}"))
    named = (setting for key in keys if (setting := command.settings.get(key)) is not None)
    return next((each for each in named if named_model(str(each.value)).block is not None), None)


def model_name(command: Command, engine: EngineKeys) -> Setting | None:
    found = command.find(*engine.at("model")) if engine.at("model") else None
    if engine.name == "torchtitan":
        return _titan_model(command, engine, found)
    runtime = command.find("runtime")
    if found is None and runtime is not None:
        recipe = str(runtime.value).partition("-")[2]
        return Setting(recipe, runtime.source) if named_model(recipe).block is not None else None
    if engine.name == "torchtune" and found is not None:
        family, _, size = str(found.value).rpartition("/")
        return Setting(f"{family}-{size.split('_')[0]}", found.source)
    if found is None and engine.name == "llm-foundry":
        file = next((word for word in command.positional if word.endswith((".yaml", ".yml"))), None)
        return Setting(file.rsplit("/", 1)[-1].rpartition(".")[0], f"argument {file}") if file else None
    if found is None and engine.serves:
        named = _positional(command, engine)
        return Setting(named, f"argument {named}") if named else None
    return found


def _titan_model(command: Command, engine: EngineKeys, flavour: Setting | None) -> Setting | None:
    """`--model.name llama3 --model.flavor 8B`, or the name of its config: llama3_8b.toml, `--config llama3_8b`."""
    family, path = command.find(*engine.at("family")), command.find(*engine.at("file"))
    if flavour is not None and family is not None:
        return Setting(f"{family.value}-{flavour.value}", f"{family.source}, {flavour.source}")
    name = str(path.value).rsplit("/", 1)[-1].removesuffix(".toml").replace("_", "-") if path else ""
    return Setting(name, path.source) if path and name.startswith(_FLAVOUR_FAMILIES) else None


def _positional(command: Command, engine: EngineKeys) -> str | None:
    """`vllm serve MODEL`, `trtllm-serve MODEL`: the word after the program that is no file."""
    words = list(command.positional)
    for mark in ("serve", "trtllm-serve"):
        at = next((index for index, word in enumerate(words) if word.rsplit("/", 1)[-1] == mark), None)
        rest = words[at + 1 :] if at is not None else []
        rest = rest[1:] if rest and rest[0] in ("serve", "api_server") else rest
        if rest:
            return rest[0]
    return None


def _put_model(name: str, source: str, findings: Findings) -> NamedModel:
    model = named_model(name)
    if model.block is not None:
        findings.read("model", dict(model.block), f"{source}: {name}")
    elif "$" in name or "{{" in name:
        stands = f"nothing in the manifest says what {name} stands for"
        findings.unknown("model", f"{source}: {stands}; pass --model PRESET or --config config.json")
    else:
        findings.unknown("model", f"{source}: {name} is no preset; pass --config with its config.json", named=name)
    return model


def nim_image(image: str) -> Setting | None:
    """NIM's images are named by their model: nvcr.io/nim/meta/llama-3.1-8b-instruct; llm-nim takes any."""
    _, found, path = image.partition("/nim/")
    name = path.rsplit("/", 1)[-1].partition("@")[0].partition(":")[0]
    return Setting(name, f"image {image}") if found and name and name != "llm-nim" else None

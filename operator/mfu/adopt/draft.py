"""A manifest read as declarations: what runs, in which mode, with everything said about where each field came from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mfu.adopt.commands import Command, Setting, commands, flat, normal
from mfu.adopt.containers import Container
from mfu.adopt.described import described
from mfu.adopt.engines import SERVING, TRAINING, EngineKeys
from mfu.adopt.findings import Findings, FoundLine
from mfu.adopt.layout import accelerators, gpus_of, main_container, version_of
from mfu.adopt.model import model_block, precision_block
from mfu.adopt.names import NamedModel, named_model
from mfu.adopt.objects import config_maps, units
from mfu.adopt.precision import precision
from mfu.adopt.serving import serving
from mfu.adopt.training import training
from mfu.adopt.units import Object, Unit
from mfu.api.names import API_VERSION
from mfu.workload.huggingface import Understood

_NAME: Final = re.compile(r"[^a-z0-9-]+")
_FLAVOUR_FAMILIES: Final = ("llama3", "llama2", "llama4", "qwen3", "deepseek")


@dataclass(frozen=True, slots=True)
class Draft:
    """One declaration and every line of what was read, assumed or not known."""

    source: str
    name: str
    document: Mapping[str, Any]
    lines: tuple[FoundLine, ...]

    @property
    def complete(self) -> bool:
        """Whether it can be applied: a model is in it."""
        return "model" in self.document["spec"]


@dataclass(frozen=True, slots=True)
class Given:
    """What the person says beside the manifest."""

    model: str = ""
    config: Understood | None = None
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def adopt(documents: Sequence[Object], given: Given | None = None) -> tuple[Draft, ...]:
    """A draft for each thing among the objects that runs a model on GPUs."""
    said = given or Given()
    files = {**said.files, **config_maps(documents)}
    found = (unit for document in documents for unit in units(document))
    return tuple(draft for unit in found if (draft := _draft(unit, files, said)) is not None)


def _draft(unit: Unit, files: Mapping[str, Mapping[str, str]], given: Given) -> Draft | None:
    container, count = main_container(unit, files), gpus_of(unit, files)
    called = _calls(unit, container, files)
    chosen = _engine(unit, called, container)
    if not count and (chosen is None or not _claims_elsewhere(unit)):
        return None
    findings = Findings()
    command, engine = chosen or (called[0] if called else Command((), {}, ()), _unknown_engine(unit))
    _head(unit, engine, findings, known=chosen is not None)
    accelerators(unit, container, count, findings)
    model = _model(command, engine, given, findings)
    precision(command, engine, model, findings)
    if engine.serves:
        serving(unit, command, engine, count, findings)
    else:
        training(command, engine, count, findings)
    _runtime(engine, container, findings, known=chosen is not None)
    return Draft(_source(unit), unit.name, _document(unit, findings), tuple(findings.lines))


def _claims_elsewhere(unit: Unit) -> bool:
    """GPUs that no container asks for by a resource: claims (DRA), or a training runtime that holds the template."""
    claims = any(group.spec.get("resourceClaims") for group in unit.groups)
    return claims or bool(unit.given.get("claims")) or (unit.target or {}).get("kind") == "TrainJob"


def _source(unit: Unit) -> str:
    kind = unit.target["kind"] if unit.target else "pods"
    return f"{kind} {unit.target['name'] if unit.target else unit.name}"


def _calls(unit: Unit, container: Container | None, files: Mapping[str, Mapping[str, str]]) -> list[Command]:
    """Every program of the main container and, for Ray, the job's entrypoint, with what the kind itself says on top."""
    if container is None:
        return []
    entry = unit.given.get("entrypoint")
    with_entry = [entry_container(container, str(entry[0]))] if entry else []
    found = [each for every in (*with_entry, container) for each in commands(every)]
    extra = container.environment.get("VLLM_ADDITIONAL_ARGS")
    added = commands(entry_container(container, f"vllm serve {extra}")) if extra else ()
    found = [*added, *found] or [Command((), {}, ())]
    return [_with_given(each, unit) for each in found]


def entry_container(container: Container, line: str) -> Container:
    """The same container running that line."""
    return Container(
        container.name, container.image, ("sh", "-c", line), container.environment, container.gpus, container.files
    )


def _with_given(command: Command, unit: Unit) -> Command:
    said = {
        name: Setting(value, source)
        for key, (value, source) in unit.given.items()
        for name, value in ([(normal(key), value)] if not isinstance(value, Mapping) else flat(value, normal(key)))
    }
    return Command(command.words, {**command.settings, **said}, command.positional)


def _engine(unit: Unit, called: list[Command], container: Container | None) -> tuple[Command, EngineKeys] | None:
    """The program and engine that say most, among those that are recognised; else by the image, or by the kind."""
    offered = SERVING if unit.serving else TRAINING if unit.serving is False else (*SERVING, *TRAINING)
    recognised = [
        (command, engine)
        for command in called
        if (engine := next((each for each in offered if each.marks.search(command.text.lower())), None)) is not None
    ]
    if recognised:
        return max(recognised, key=lambda pair: _says(*pair))
    image = " ".join((container.image if container else "", _runtime_name(unit))).lower()
    engine = next((each for each in offered if each.marks.search(image)), None)
    if engine is None and unit.serving and _serves_with_vllm(unit):
        engine = SERVING[-1]
    return (called[0], engine) if engine is not None and called else None


def _says(command: Command, engine: EngineKeys) -> tuple[bool, int]:
    """Whether a program names its model, and how many of the engine's settings it sets."""
    named = _model_name(command, engine) is not None
    return named, sum(command.find(*keys) is not None for keys in engine.keys.values())


def _runtime_name(unit: Unit) -> str:
    found = unit.given.get("runtime")
    return str(found[0]) if found else ""


def _serves_with_vllm(unit: Unit) -> bool:
    """LLMInferenceService and Ray Serve LLM run vLLM unless told; KServe's Hugging Face server does for such models."""
    kind = unit.target["kind"] if unit.target else ""
    form = unit.given.get("format")
    return kind in ("LLMInferenceService", "VLLMRuntime") or not unit.target or bool(form and form[0] == "huggingface")


def _unknown_engine(unit: Unit) -> EngineKeys:
    serves = bool(unit.serving)
    return EngineKeys("", serves, re.compile("$^"), SERVING[-1].keys if serves else TRAINING[-1].keys)


def _head(unit: Unit, engine: EngineKeys, findings: Findings, *, known: bool) -> None:
    mode = "Inference" if engine.serves else "Training"
    why = (
        f"{engine.name} {'serves' if engine.serves else 'trains'}" if known else "by its kind; no engine was recognised"
    )
    (findings.read if known or unit.serving is not None else findings.assume)("mode", mode, why)
    if unit.target is not None:
        findings.read("targetRef", dict(unit.target), "the object itself")
    else:
        findings.read("podSelector", {"matchLabels": dict(unit.labels)}, "labels that its operator or chart sets")


def _model(command: Command, engine: EngineKeys, given: Given, findings: Findings) -> NamedModel | None:
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
    found = _model_name(command, engine)
    if found is None:
        findings.unknown("model", "no argument or file names it: pass --model PRESET or --config config.json")
        return None
    return _put_model(str(found.value), found.source, findings)


def _model_name(command: Command, engine: EngineKeys) -> Setting | None:
    found = command.find(*engine.at("model")) if engine.at("model") else None
    if engine.name == "torchtitan":
        return _titan_model(command, engine, found)
    runtime = command.find("runtime")
    if found is None and runtime is not None and "-" in str(runtime.value):
        return Setting(str(runtime.value).partition("-")[2], runtime.source)
    if engine.name == "torchtune" and found is not None:
        family, _, size = str(found.value).rpartition("/")
        return Setting(f"{family}-{size.split('_')[0]}", found.source)
    if found is None and engine.name == "llm-foundry":
        recipe = next((word for word in command.positional if word.endswith((".yaml", ".yml"))), None)
        return Setting(recipe.rsplit("/", 1)[-1].rpartition(".")[0], f"argument {recipe}") if recipe else None
    if found is None and engine.serves:
        named = _positional(command, engine)
        return Setting(named, f"argument {named}") if named else None
    return found


def _titan_model(command: Command, engine: EngineKeys, flavour: Setting | None) -> Setting | None:
    """`--model.name llama3 --model.flavor 8B`, or the name of its config file: llama3_8b.toml."""
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
        rest = rest[1:] if rest and rest[0] == "serve" else rest
        if rest:
            return rest[0]
    return None


def _put_model(name: str, source: str, findings: Findings) -> NamedModel:
    model = named_model(name)
    if model.block is not None:
        findings.read("model", dict(model.block), f"{source}: {name}")
    else:
        findings.unknown("model", f"{source}: {name} is no preset; pass --config with its config.json", named=name)
    return model


def _runtime(engine: EngineKeys, container: Container | None, findings: Findings, *, known: bool) -> None:
    if not known:
        image = container.image if container else ""
        findings.unknown("runtime.engine", f"neither the command nor the image {image!r} is of an engine that is known")
        return
    findings.read("runtime.engine", engine.name, "command or image")
    own = bool(container and engine.image.search(container.image.lower()))
    version = version_of(container.image) if container and own else ""
    if version:
        findings.read("runtime.version", version, f"image {container.image}" if container else "")
    else:
        why = f"image {container.image!r} names no version of {engine.name}" if container else "no image"
        findings.unknown("runtime.version", why)


_ORDER: Final = (
    "mode",
    "targetRef",
    "podSelector",
    "model",
    "precision",
    "accelerators",
    "training",
    "inference",
    "runtime",
)


def _document(unit: Unit, findings: Findings) -> dict[str, Any]:
    spec = {key: findings.declared[key] for key in _ORDER if findings.declared.get(key)}
    metadata = {"name": _NAME.sub("-", unit.name.lower()).strip("-")[:63] or "workload"}
    if unit.namespace:
        metadata["namespace"] = unit.namespace
    return {"apiVersion": API_VERSION, "kind": "ModelWorkload", "metadata": metadata, "spec": spec}


def sentences(draft: Draft) -> Iterator[str]:
    """The lines, what was read first, then what was assumed, then what is not known."""
    order = {"read": 0, "assumed": 1, "unknown": 2}
    yield from (str(line) for line in sorted(draft.lines, key=lambda line: order[line.certainty]))

"""A manifest read as declarations: what runs, in which mode, with everything said about where each field came from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mfu.adopt.commands import Command, Setting, commands, flat, normal
from mfu.adopt.containers import Container
from mfu.adopt.engines import SERVING, EngineKeys
from mfu.adopt.engines_training import TRAINING
from mfu.adopt.findings import Findings, FoundLine
from mfu.adopt.layout import accelerators, gpus_of, main_container
from mfu.adopt.objects import config_maps, units
from mfu.adopt.precision import precision
from mfu.adopt.runtime import runtime
from mfu.adopt.serving import serving
from mfu.adopt.train_runtimes import with_runtimes
from mfu.adopt.training import training
from mfu.adopt.units import Object, Unit
from mfu.adopt.which_model import Given, model_name, model_of, nim_image
from mfu.api.names import API_VERSION

_OWN_SETTINGS: Final = 2
"""From how many settings of an engine on a program is the engine's, whatever it is called."""
_SERVING_KINDS: Final = frozenset(
    {"Deployment", "StatefulSet", "ReplicaSet", "LeaderWorkerSet", "NIMService", "Service"}
)
"""Kinds whose pods run on until they are stopped: what has no engine that is known serves, rather than trains."""
_NAME: Final = re.compile(r"[^a-z0-9-]+")


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


def adopt(documents: Sequence[Object], given: Given | None = None) -> tuple[Draft, ...]:
    """A draft for each thing among the objects that runs a model on GPUs."""
    said = given or Given()
    files = {**said.files, **config_maps(documents)}
    found = (unit for document in with_runtimes(documents) for unit in units(document))
    return tuple(draft for unit in found if (draft := _draft(unit, files, said)) is not None)


def _draft(unit: Unit, files: Mapping[str, Mapping[str, str]], given: Given) -> Draft | None:
    container, count = main_container(unit, files), gpus_of(unit, files)
    called = _calls(unit, container, files)
    chosen = _engine(unit, called, container)
    if not count and (chosen is None or not _claims_elsewhere(unit)):
        return None
    findings = Findings()
    command, engine = chosen or (called[0] if called else Command((), {}, ()), _unknown_engine(unit))
    _head(unit, called, engine, findings)
    accelerators(unit, container, count, findings)
    model = model_of(command, engine, given, findings)
    precision(command, engine, model, findings)
    if engine.serves:
        serving(unit, command, engine, count, findings)
    else:
        training(command, engine, count, findings)
    runtime(unit, engine, container, findings)
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
    return [_with_given(each, unit, container) for each in found]


def entry_container(container: Container, line: str) -> Container:
    """The same container running that line."""
    return Container(
        container.name, container.image, ("sh", "-c", line), container.environment, container.gpus, container.files
    )


def _with_given(command: Command, unit: Unit, container: Container) -> Command:
    said = {"nim_image": image} if (image := nim_image(container.image)) else {}
    said |= {
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
        if command.runs and (engine := _marked(offered, command.text)) is not None
    ]
    named = _marked(offered, " ".join((container.image if container else "", _runtime_name(unit))))
    if named is None and unit.serving and _serves_with_vllm(unit):
        named = SERVING[-1]
    found = max(recognised, key=lambda pair: _says(*pair))[1] if recognised else named
    if found is TRAINING[-1] and named is not None:
        # torchrun starts them all; an image is of one.
        found = named
    if found is None or not called:
        return None
    first = [command for command, engine in recognised if engine is found]
    return max((*first, *called), key=lambda command: _says(command, found)), found


def _marked(offered: Sequence[EngineKeys], text: str) -> EngineKeys | None:
    return next((each for each in offered if each.marks.search(text.lower())), None)


def _says(command: Command, engine: EngineKeys) -> tuple[bool, int]:
    """Whether a program names its model, and how many of the engine's settings it sets."""
    named = model_name(command, engine) is not None
    return named, sum(command.find(*keys) is not None for keys in engine.keys.values())


def _runtime_name(unit: Unit) -> str:
    return " ".join(
        str(unit.given[key][0]) for key in ("runtime", "serving_runtime", "format", "packages") if key in unit.given
    )


def _serves_with_vllm(unit: Unit) -> bool:
    """LLMInferenceService and Ray Serve LLM run vLLM unless told; KServe's Hugging Face server does for such models."""
    kind = unit.target["kind"] if unit.target else ""
    form = unit.given.get("format")
    return kind in ("LLMInferenceService", "VLLMRuntime") or not unit.target or bool(form and form[0] == "huggingface")


def _unknown_engine(unit: Unit) -> EngineKeys:
    serves = bool(unit.serving) or (unit.serving is None and (unit.target or {}).get("kind") in _SERVING_KINDS)
    return EngineKeys("", serves, re.compile("$^"), SERVING[-1].keys if serves else TRAINING[-1].keys, spreads=serves)


def _head(unit: Unit, called: Sequence[Command], engine: EngineKeys, findings: Findings) -> None:
    mode, does = ("Inference", "serves") if engine.serves else ("Training", "trains")
    if not engine.name:
        why, sure = "by its kind; no engine was recognised", unit.serving is not None
    elif unit.serving is None and _runs_something_else(called, engine):
        why, sure = f"the image is of {engine.name}; its command is not", False
    else:
        why, sure = f"{engine.name} {does}", True
    (findings.read if sure else findings.assume)("mode", mode, why)
    if unit.target is not None:
        findings.read("targetRef", dict(unit.target), "the object itself")
    else:
        findings.read("podSelector", {"matchLabels": dict(unit.labels)}, "labels that its operator or chart sets")


def _runs_something_else(called: Sequence[Command], engine: EngineKeys) -> bool:
    """Programs of its own in an engine's image: a download, a conversion. Arguments alone go to the engine."""
    programs = [each for each in called if each.words and not each.words[0].startswith("-")]
    marked = any(each.runs and engine.marks.search(each.text.lower()) for each in programs)
    return bool(programs) and not marked and all(_says(each, engine)[1] < _OWN_SETTINGS for each in programs)


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

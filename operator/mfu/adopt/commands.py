"""Command lines taken apart: shells, launchers, flags, `key=value` overrides and mounted config files, as settings."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from mfu.adopt.containers import Container

_SHELLS = frozenset({"sh", "bash", "ash", "zsh", "dash"})
_AROUND = frozenset(
    (
        "echo",
        "printf",
        "git",
        "cd",
        "ls",
        "cp",
        "mv",
        "rm",
        "mkdir",
        "ln",
        "chmod",
        "cat",
        "curl",
        "wget",
        "sleep",
        "export",
    )
)
"""Programs around the one that a script is for."""
_BREAKS = re.compile(r"\n|&&|\|\||;|\|")
_OVERRIDE = re.compile(r"\+{0,2}(?P<key>[A-Za-z_][\w./-]*)=(?P<value>.*)", re.DOTALL)
_CONFIG_FILE = re.compile(r"\.(json|ya?ml|toml)$")
_NUMBER = re.compile(r"-?\d+(_\d+)*")


@dataclass(frozen=True, slots=True)
class Setting:
    """One value and where it stands."""

    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Command:
    """One program call: its words, its settings by normalised key, and its positional arguments."""

    words: tuple[str, ...]
    settings: Mapping[str, Setting]
    positional: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def runs(self) -> bool:
        """Whether it may be the program: `echo Launching vLLM` and `git clone` name engines and run none."""
        return not self.words or self.words[0].rsplit("/", 1)[-1] not in _AROUND

    def find(self, *keys: str) -> Setting | None:
        """The first of `keys` that is set. A key without dots also finds the last part of a dotted one."""
        for key in keys:
            exact = self.settings.get(key)
            if exact is not None:
                return exact
        for key in keys:
            dotted = next((each for name, each in self.settings.items() if name.endswith(f".{key}")), None)
            if dotted is not None:
                return dotted
        return None

    def number(self, *keys: str) -> tuple[int, str] | None:
        """A whole number above 0 and its source; None where it is absent or something else."""
        found = self.find(*keys)
        value = None if found is None else whole(found.value)
        return None if found is None or value is None or value < 1 else (value, found.source)

    def on(self, *keys: str) -> Setting | None:
        """A switch that is on."""
        found = self.find(*keys)
        return found if found is not None and truth(found.value) else None


def whole(value: Any) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    text = str(value).strip()
    if _NUMBER.fullmatch(text):
        return int(text.replace("_", ""))
    return int(float(text)) if re.fullmatch(r"\d+(\.0*)?([eE]\d+)?", text) else None


def truth(value: Any) -> bool:
    return value is True or str(value).strip().lower() in ("true", "1", "yes", "on", "y")


def commands(container: Container) -> tuple[Command, ...]:
    """Every program that the container runs, in order; variables of the environment are filled in.

    Where the image alone says what runs, that is a program without words: its environment and files are its settings.
    """
    lines = [words for words in _lines(container) if words]
    return tuple(_command(words, container) for words in lines or ([[]] if container.settles else []))


def _lines(container: Container) -> Iterator[list[str]]:
    words = [container.filled(word) for word in container.command]
    if not words:
        return
    script = _script(words)
    if script is None:
        yield words
        return
    for line in _BREAKS.split(re.sub(r"\\\s*\n", " ", script)):
        yield _split(line)


def _script(words: list[str]) -> str | None:
    """What a shell is given with -c (or as the only text), None where no shell runs."""
    if words[0].rsplit("/", 1)[-1] in _SHELLS:
        for index, word in enumerate(words[1:], start=1):
            if word.startswith("-") and "c" in word and index + 1 < len(words):
                return "\n".join(words[index + 1 :])
        return None
    return " ".join(words) if len(words) == 1 and (" " in words[0] or "\n" in words[0]) else None


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def _command(words: list[str], container: Container) -> Command:
    settings: dict[str, Setting] = {}
    positional: list[str] = []
    index = 0
    while index < len(words):
        index = _one(words, index, settings, positional)
    for key, setting in _environment(container):
        settings.setdefault(key, setting)
    for key, setting in _from_files(words, container):
        settings.setdefault(key, setting)
    return Command(tuple(words), settings, tuple(positional))


def _one(words: list[str], index: int, settings: dict[str, Setting], positional: list[str]) -> int:
    word = words[index]
    if not word.startswith("-") or _NUMBER.fullmatch(word):
        override = _OVERRIDE.fullmatch(word)
        if override:
            settings[normal(override["key"])] = Setting(override["value"], f"argument {word}")
        else:
            positional.append(word)
        return index + 1
    name, separator, value = word.partition("=")
    if separator:
        settings[normal(name)] = Setting(value, f"argument {word}")
        return index + 1
    following = words[index + 1] if index + 1 < len(words) else None
    if following is None or (following.startswith("-") and not _NUMBER.fullmatch(following)):
        settings[normal(name)] = Setting(True, f"argument {word}")
        return index + 1
    settings[normal(name)] = Setting(following, f"argument {word} {following}")
    return index + 2


def normal(key: str) -> str:
    """`--Tensor-Parallel-Size` and `tensor_parallel_size` are one key."""
    return key.lstrip("-+").replace("-", "_").replace("/", ".").lower()


def _environment(container: Container) -> Iterator[tuple[str, Setting]]:
    for name, value in container.environment.items():
        yield f"env.{name.lower()}", Setting(container.filled(value), f"environment {name}")


def _from_files(words: list[str], container: Container) -> Iterator[tuple[str, Setting]]:
    """Settings of mounted files: those that the command names, else every config file there is."""
    named = [path for path in container.files if any(path == word or word.endswith(f"={path}") for word in words)]
    for path in named or [path for path in container.files if _CONFIG_FILE.search(path)]:
        values = parsed(container.files[path], path)
        for key, value in flat(values):
            yield key, Setting(value, f"{path}: {key}")


def parsed(text: str, path: str) -> Any:
    """A config file as values; nothing where it cannot be read."""
    try:
        if path.endswith(".toml"):
            return tomllib.loads(text)
        return json.loads(text) if path.endswith(".json") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError):
        return None


def flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys of nested values; lists stay whole."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from flat(each, f"{prefix}.{normal(str(key))}" if prefix else normal(str(key)))
    elif prefix:
        yield prefix, value

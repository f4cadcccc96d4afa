"""Commands of kubectl that tests say often, said to an API server without a process.

A kubectl costs 70 ms of a processor, and a new connection and the whole discovery of the server: tests said fourteen
hundred. What is said here does what kubectl does and is refused in the same words; anything else is kubectl's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from e2e.testbed.cluster.rest import Kind, Refused, Rest
from mfu.shipped import LOADER

_PATCHES: Final = {"merge": "application/merge-patch+json", "json": "application/json-patch+json"}
_JSON: Final = "application/json"
_SWITCHES: Final = frozenset({"all", "all-namespaces", "force", "ignore-not-found", "overwrite"})
_EVERY_SECONDS, _WITHIN_SECONDS = 0.05, 60.0


@dataclass(frozen=True, slots=True)
class Said:
    """What is read of a command line: its words and flags, by their long names."""

    words: tuple[str, ...]
    flags: Mapping[str, tuple[str, ...]]
    stdin: str | None = None

    @classmethod
    def of(cls, arguments: Iterable[str], stdin: str | None) -> Said:
        words: list[str] = []
        flags: dict[str, tuple[str, ...]] = {}
        rest = iter(arguments)
        for each in rest:
            name, equals, value = _LONG.get(each, each).partition("=")
            if not name.startswith("--"):
                words.append(each)
                continue
            if not equals:
                value = "true" if name[2:] in _SWITCHES else next(rest, "")
            flags[name[2:]] = (*flags.get(name[2:], ()), value)
        return cls(tuple(words), flags, stdin)

    def flag(self, name: str, default: str = "") -> str:
        return self.flags.get(name, (default,))[-1]

    @property
    def namespace(self) -> str | None:
        return None if self.flag("all-namespaces") == "true" else self.flag("namespace", "default")

    @property
    def impersonated(self) -> dict[str, tuple[str, ...]]:
        named = {"Impersonate-User": "as", "Impersonate-Group": "as-group"}
        return {header: self.flags[flag] for header, flag in named.items() if flag in self.flags}


_LONG: Final = {"-n": "--namespace", "-p": "--patch", "-A": "--all-namespaces", "-l": "--selector", "-f": "--filename"}


class Denied(RuntimeError):
    """`auth can-i` says no, and nothing else."""


def say(rest: Rest, arguments: Sequence[str], stdin: str | None = None) -> str | None:
    """What kubectl would print; None where kubectl has to be asked. Raises Refused, Denied."""
    for command in _COMMANDS:
        begin = len(command.begin)
        if tuple(arguments[:begin]) == command.begin:
            said = Said.of(arguments[begin:], stdin)
            read = (stdin is not None) == (said.flag("filename") == "-")
            return command.run(rest, said) if read and said.flags.keys() <= command.flags else None
    return None


def _patch(rest: Rest, said: Said) -> str | None:
    targets = _targets(rest, said.words)
    type_ = _PATCHES.get(said.flag("type"))
    if targets is None or len(targets) > 1 or type_ is None or said.flag("dry-run", "server") != "server":
        return None
    ((kind, name),) = targets
    subresource = f"/{said.flag('subresource')}" if "subresource" in said.flags else ""
    dry = {"dryRun": "All"} if "dry-run" in said.flags else {}
    rest.ask(
        "PATCH",
        kind.path(said.namespace, name) + subresource,
        params={"fieldManager": "kubectl-patch", **dry},
        body=_as_json(said.flag("patch")),
        Content_Type=type_,
        who=said.impersonated,
    )
    return f"{kind.plural}/{name} patched\n"


def _as_json(text: str) -> str:
    try:
        json.loads(text)
    except ValueError:
        return json.dumps(yaml.load(text, Loader=LOADER))
    return text


def _label(rest: Rest, said: Said) -> str | None:
    labels = dict(word.split("=", 1) for word in said.words if "=" in word)
    targets = _targets(rest, [word for word in said.words if "=" not in word])
    if targets is None or not labels or any(word.endswith("-") for word in said.words):
        return None
    body = json.dumps({"metadata": {"labels": labels}})
    for kind, name in targets:
        path = kind.path(said.namespace, name)
        there = rest.ask("GET", path)["metadata"].get("labels", {})
        other = [key for key, value in labels.items() if there.get(key, value) != value]
        if other and "overwrite" not in said.flags:
            raise Refused(f"error: '{other[0]}' already has a value ({there[other[0]]}), and --overwrite is false")
        rest.ask("PATCH", path, params={"fieldManager": "kubectl-label"}, body=body, Content_Type=_PATCHES["merge"])
    return "".join(f"{kind.plural}/{name} labeled\n" for kind, name in targets)


def _apply(rest: Rest, said: Said) -> str | None:
    """What lies in a file or a folder. Several namespaces in one file are kubectl's affair."""
    place = Path(said.flag("filename"))
    files = sorted(place.glob("*.yaml")) if place.is_dir() else [place]
    if said.words or not all(path.is_file() for path in files):
        return None
    documents = [each for path in files for each in yaml.load_all(path.read_text(), Loader=LOADER) if each]
    if not all(
        rest.kind(f"{each['apiVersion']}/{each['kind']}") and each["metadata"].get("name") for each in documents
    ):
        return None
    return "".join(f"{rest.apply(each, said.namespace)} serverside-applied\n" for each in documents)


def _create(rest: Rest, said: Said) -> str | None:
    try:
        document = json.loads(said.stdin or "")
    except ValueError:
        return None
    kind = rest.kind(f"{document.get('apiVersion')}/{document.get('kind')}")
    if kind is None or said.words:
        return None
    path = kind.path(document["metadata"].get("namespace") or said.namespace)
    params = {"fieldManager": "kubectl-create", "fieldValidation": "Strict"}
    made = rest.ask("POST", path, params=params, body=json.dumps(document), Content_Type=_JSON, who=said.impersonated)
    return f"{kind.plural}/{made['metadata']['name']} created\n"


def _can_i(rest: Rest, said: Said) -> str | None:
    if len(said.words) != 2 or "/" in said.words[1] or (kind := rest.kind(said.words[1])) is None:
        return None
    group, slash, _ = kind.api_version.rpartition("/")
    asked = {
        "verb": said.words[0],
        "group": group if slash else "",
        "resource": kind.plural,
        "subresource": said.flag("subresource"),
        "namespace": said.namespace or "",
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    answer = rest.ask("POST", path, body=json.dumps(review), Content_Type=_JSON, who=said.impersonated)
    if not answer["status"]["allowed"]:
        raise Denied
    return "yes\n"


def _token(rest: Rest, said: Said) -> str | None:
    if len(said.words) != 1:
        return None
    spec = {"expirationSeconds": _seconds(said.flag("duration"))} if "duration" in said.flags else {}
    path = f"/api/v1/namespaces/{said.namespace}/serviceaccounts/{said.words[0]}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    made = rest.ask("POST", path, body=json.dumps(body), Content_Type=_JSON)
    return f"{made['status']['token']}\n"


def _delete(rest: Rest, said: Said) -> str | None:
    targets = _all_of(rest, said) if "all" in said.flags else _named(rest, said)
    if targets is None:
        return None
    now = {"gracePeriodSeconds": 0} if said.flag("grace-period") == "0" or "force" in said.flags else {}
    body = json.dumps({"propagationPolicy": "Background", **now})
    gone: list[tuple[str, str]] = []
    for path in targets:
        try:
            uid = rest.ask("GET", path)["metadata"]["uid"]
            rest.ask("DELETE", path, body=body, Content_Type=_JSON)
            gone.append((path, uid))
        except Refused as error:
            if not _not_found(error) or not ("all" in said.flags or said.flag("ignore-not-found") == "true"):
                raise
    if said.flag("wait", "true") == "true":
        _wait_gone(rest, gone, within_seconds=_seconds(said.flag("timeout", f"{_WITHIN_SECONDS:.0f}s")))
    return "".join(f"{path} deleted\n" for path, _ in gone)


def _wait_gone(rest: Rest, objects: Iterable[tuple[str, str]], *, within_seconds: float) -> None:
    """As kubectl waits: until it is not there, or another of its name is."""
    deadline = time.monotonic() + within_seconds
    for path, uid in objects:
        while _uid(rest, path) == uid:
            if time.monotonic() > deadline:
                raise Refused(f"error: timed out waiting for the condition on {path}")
            time.sleep(_EVERY_SECONDS)


def _uid(rest: Rest, path: str) -> str | None:
    try:
        uid: str = rest.ask("GET", path)["metadata"]["uid"]
    except Refused as error:
        if _not_found(error):
            return None
        raise
    return uid


def _named(rest: Rest, said: Said) -> list[str] | None:
    targets = _targets(rest, said.words)
    return None if targets is None else [kind.path(said.namespace, name) for kind, name in targets]


def _all_of(rest: Rest, said: Said) -> list[str] | None:
    kinds = [rest.kind(name) for name in said.words[0].split(",")] if len(said.words) == 1 else []
    known = [kind for kind in kinds if kind is not None]
    if not known or len(known) < len(kinds):
        return None
    return [
        kind.path(item["metadata"].get("namespace"), item["metadata"]["name"])
        for kind in known
        for item in rest.ask("GET", kind.path(said.namespace))["items"]
    ]


def _targets(rest: Rest, words: Sequence[str]) -> list[tuple[Kind, str]] | None:
    """`KIND NAME…` and `KIND/NAME…`; None where a kind is not known."""
    if not words:
        return None
    pairs = [tuple(word.split("/", 1)) for word in words if "/" in word]
    if len(pairs) < len(words):
        pairs = [] if pairs else [(kind, name) for kind in words[0].split(",") for name in words[1:]]
    found = [(rest.kind(kind), name) for kind, name in pairs]
    known = [(kind, name) for kind, name in found if kind is not None]
    return known if known and len(known) == len(found) else None


def _not_found(error: Refused) -> bool:
    return "(NotFound)" in str(error)


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


@dataclass(frozen=True, slots=True)
class Command:
    """How it begins, and the flags of it that are understood."""

    begin: tuple[str, ...]
    flags: frozenset[str]
    run: Callable[[Rest, Said], str | None]


def _flags(names: str) -> frozenset[str]:
    return frozenset(names.split())


_COMMANDS: Final = (
    Command(("patch",), _flags("namespace type patch subresource dry-run as as-group"), _patch),
    Command(("apply", "--server-side"), _flags("namespace filename"), _apply),
    Command(("label",), _flags("namespace overwrite"), _label),
    Command(("auth", "can-i"), _flags("namespace all-namespaces subresource as as-group"), _can_i),
    Command(("create", "token"), _flags("namespace duration"), _token),
    Command(("create",), _flags("namespace filename as as-group"), _create),
    Command(
        ("delete",),
        _flags("namespace all all-namespaces ignore-not-found wait force grace-period timeout"),
        _delete,
    ),
)

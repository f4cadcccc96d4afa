"""Which node each scraped exporter may speak for: by where the cluster says that it runs, never by what it prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

NOBODY: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Speaking:
    """The one node of each exporter, and why nobody is heard of some nodes."""

    nodes: Mapping[str, str] = field(default_factory=dict)
    """By exporter, as the scrape labelled it (`instance`)."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """By node."""
    silenced: frozenset[str] = frozenset()
    """Exporters that are not heard at all."""


def speaking(claims: Iterable[tuple[str, str | None]], places: Mapping[str, str]) -> Speaking:
    """`claims`: each exporter with the node that it says it is; `places`: nodes by address, as the cluster has them.

    An exporter at a known address speaks for the node there, whatever it says. Another speaks for the one node that it
    names, if nobody else does. `speaking([("10.0.0.7:9400", "a"), ("x:1", "a")], {"10.0.0.7": "a"})` silences "x:1".
    """
    named: dict[str, set[str]] = {}
    for exporter, node in claims:
        named.setdefault(exporter, set()).update(() if node is None else (node,))
    known = {exporter: places[host] for exporter in named if (host := host_of(exporter)) in places}
    taken = frozenset(known.values())
    others = {exporter: nodes for exporter, nodes in named.items() if exporter not in known and nodes}
    guessed = {exporter: node for exporter, (node, *more) in others.items() if not more and node not in taken}
    refused = _contested({**known, **guessed})
    for exporter in sorted(others.keys() - guessed.keys()):
        refused |= dict.fromkeys(others[exporter] - taken, f"{exporter} speaks for several nodes")
    kept = {exporter: node for exporter, node in (known | guessed).items() if node not in refused}
    return Speaking(kept, refused, frozenset((known.keys() | others.keys()) - kept.keys()))


def _contested(nodes: Mapping[str, str]) -> dict[str, str]:
    by_node: dict[str, list[str]] = {}
    for exporter, node in nodes.items():
        by_node.setdefault(node, []).append(exporter)
    return {node: _many(them) for node, them in by_node.items() if len(them) > 1}


def host_of(instance: str) -> str:
    """Without its port: `host_of("[fd00::7]:9400") == "fd00::7"`, `host_of("n0") == "n0"`."""
    host, _, port = instance.rpartition(":")
    return host.strip("[]") if host and port.isdigit() else instance


def _many(exporters: list[str]) -> str:
    return f"{len(exporters)} exporters claim to speak for it ({', '.join(sorted(exporters)[:3])}): name one job"

"""A slow, plain second opinion on exposition text, to compare the fast readers with: the grammar itself, no cache."""

from __future__ import annotations

import re

_LINE = re.compile(rb"^([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\}\s*(\S+)(?:\s+(\S+))?\s*$", re.DOTALL)
_LABEL = re.compile(
    rb'[ \t\r\f\v]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t\r\f\v]*=[ \t\r\f\v]*"((?:[^"\\]|\\.)*)"[ \t\r\f\v]*(,|$)', re.DOTALL
)
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf(inity)?|nan)", re.IGNORECASE)
Cells = dict[tuple[bytes, str, str], list[float]]


def cells(body: bytes, names: frozenset[bytes]) -> Cells:
    """(name, UUID, GPU_I_ID) → values of every well-formed whole line of these names."""
    found: Cells = {}
    for line in body.split(b"\n")[:-1]:
        match = _LINE.match(line)
        if match is None or match[1] not in names or not _NUMBER.fullmatch(match[3]):
            continue
        if match[4] is not None and not _NUMBER.fullmatch(match[4]):
            continue
        labels = _labels(match[2])
        if labels is None or not labels.get("UUID"):
            continue
        cell = (match[1], labels["UUID"], labels.get("GPU_I_ID", ""))
        found.setdefault(cell, []).append(float(match[3]))
    return found


def _labels(text: bytes) -> dict[str, str] | None:
    labels: dict[str, str] = {}
    position = 0
    while text[position:].strip():
        match = _LABEL.match(text, position)
        if match is None:
            return None
        try:
            name, value = match[1].decode(), match[2].decode()
        except UnicodeDecodeError:
            return None
        if name in labels:
            return None
        labels[name] = value
        position = match.end()
    return labels

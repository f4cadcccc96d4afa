"""Prometheus text format, the parts that metrics adapters need, read from bytes.

A general parser costs 136 µs a sample; `samples` looks only at lines whose metric name is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from sys import intern

from mfu.memo import memo

_LABEL = re.compile(rb'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|$)')
_ESCAPES = re.compile(r"\\(.)")
_UNESCAPED = {"n": "\n", "\\": "\\", '"': '"'}
_MAX_LABELS = 128
_LONGEST_KEPT = 2048
"""Bytes of a label text that is remembered: four thousand of what a tenant may send would be a gigabyte."""
_LONGEST_NUMBER = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of exposition. `timestamp_seconds` is None where the line carries none, which is usual."""

    name: bytes
    labels: Mapping[str, str]
    value: float
    timestamp_seconds: float | None = None


@dataclass(slots=True)
class Scan:
    """What a body held: the wanted samples, and the wanted names of which some line could not be read."""

    samples: list[Sample] = field(default_factory=list)
    malformed: set[bytes] = field(default_factory=set)
    truncated: bool = False


def whole_lines(body: bytes) -> tuple[list[bytes], bool]:
    """Lines of `body`, and whether the last one was cut: without its newline "0.43" may be the head of "0.4312"."""
    lines = body.split(b"\n")
    tail = lines.pop()
    return lines, bool(tail.strip())


def number(text: bytes) -> float | None:
    """A sample value, None when the text is not one. Python's own `1_000` and bare words are refused; NaN passes."""
    if b"_" in text or len(text) > _LONGEST_NUMBER:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def parse_value(text: bytes) -> tuple[float, float | None] | None:
    """`value [timestamp_ms]` → (value, seconds or None); None when malformed."""
    parts = text.split()
    if not 1 <= len(parts) <= 2:
        return None
    value = number(parts[0])
    if value is None or len(parts) == 1:
        return None if value is None else (value, None)
    stamp = number(parts[1])
    return None if stamp is None or not abs(stamp) < 1e15 else (value, stamp / 1000)


def parse_labels(text: bytes) -> dict[str, str] | None:
    """The inside of `{…}` as a dict; None when it is malformed, not UTF-8, or names a label twice."""
    labels: dict[str, str] = {}
    position, end = 0, len(text)
    while text[position:].strip():
        match = _LABEL.match(text, position)
        if match is None or (not match[3] and match.end() != end) or len(labels) >= _MAX_LABELS:
            return None
        try:
            value = match[2].decode()
        except UnicodeDecodeError:
            return None
        name = match[1].decode()
        if name in labels:
            return None
        # One string for all series that say the same: tens of thousands of devices repeat their pods' names.
        labels[intern(name)] = intern(_ESCAPES.sub(_unescape, value) if "\\" in value else value)
        position = match.end()
    return labels


def _unescape(match: re.Match[str]) -> str:
    return _UNESCAPED.get(match[1], match[0])


def labels_of_text(text: bytes) -> Mapping[str, str] | None:
    """As `parse_labels`; short texts come again, and are remembered."""
    return _cached_labels(text) if len(text) <= _LONGEST_KEPT else parse_labels(text)


@memo(most=4096)
def _cached_labels(text: bytes) -> Mapping[str, str] | None:
    return parse_labels(text)


def scan(body: bytes, wanted: Container[bytes]) -> Scan:
    """Samples of the wanted metric names. Lines that cannot be read are reported by name, never guessed at."""
    result = Scan()
    lines, result.truncated = whole_lines(body)
    for line in lines:
        head, brace, rest = line.partition(b"{")
        name, _, value = (head.strip(), b"", b"") if brace else line.strip().partition(b" ")
        if name not in wanted:
            continue
        sample = _labelled(name, rest) if brace else _plain(name, value)
        if sample is None:
            result.malformed.add(name)
        else:
            result.samples.append(sample)
    return result


def _labelled(name: bytes, rest: bytes) -> Sample | None:
    inside, brace, tail = rest.rpartition(b"}")
    if b" # {" in rest:
        inside, brace, tail = rest.partition(b" # {")[0].rpartition(b"}")
    parsed, labels = parse_value(tail), labels_of_text(inside)
    if not brace or parsed is None or labels is None:
        return None
    return Sample(name, labels, parsed[0], parsed[1])


def _plain(name: bytes, text: bytes) -> Sample | None:
    parsed = parse_value(text)
    return None if parsed is None else Sample(name, {}, parsed[0], parsed[1])

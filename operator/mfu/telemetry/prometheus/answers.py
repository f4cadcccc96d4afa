"""Instant-query answers of a Prometheus-compatible API, read without building an object for every label.

A quote inside a JSON string is escaped, so the text between two series, `"]},{"metric":`, and the text between labels
and value cannot occur within a label, nor can a line feed: splitting at them is exact. An answer laid out otherwise
goes through json.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mfu.telemetry.errors import NotExposition, Unreachable
from mfu.telemetry.text.exposition import number

_FIRST: Final = b'{"metric":'
_BETWEEN: Final = b'"]},{"metric":'
_LAST: Final = b'"]}]}'
_VALUE: Final = b',"value":['
_NAN: Final = float("nan")


@dataclass(frozen=True, slots=True)
class Vector:
    """Series of an instant vector: labels as the text of their JSON object, and values. NaN where it is no number."""

    labels: list[bytes]
    values: list[float]


def vector(body: bytes, source: str) -> Vector:
    """The instant vector in an answer.

    Raises Unreachable with the server's own message where it reports an error, and NotExposition where the body is no
    instant vector.
    """
    return _fast_vector(body) or _slow_vector(_data(body, source), source)


def _fast_vector(body: bytes) -> Vector | None:
    """The answer where it is laid out as servers write it, None where anything differs."""
    head, found, rest = body.partition(_FIRST)
    inner, _, behind = rest.rpartition(_LAST)
    if not found or not _frames(head, behind):
        return None
    stamp = inner.partition(_VALUE)[2].partition(b",")[0]
    pieces = inner.replace(_VALUE + stamp + b',"', b"\n").replace(_BETWEEN, b"\n").split(b"\n")
    labels, texts = pieces[::2], pieces[1::2]
    if len(labels) != len(texts) or b"_" in b"".join(texts):
        return None
    try:
        return Vector(labels, list(map(float, texts)))
    except ValueError:
        return None


def _frames(head: bytes, behind: bytes) -> bool:
    """Is what surrounds the series the frame of a successful vector? Servers add statistics or warnings behind it."""
    try:
        before, after = json.loads(head + b"]}}"), json.loads(b'{"data":0' + behind)
    except (ValueError, RecursionError):
        return False
    if not isinstance(before, dict) or before.get("status") != "success" or not isinstance(before.get("data"), dict):
        return False
    vector_like = before["data"].get("resultType") == "vector" and before["data"].get("result") == []
    return vector_like and after.get("data") == 0 and "status" not in after


def _slow_vector(data: Mapping[str, Any], source: str) -> Vector:
    if data.get("resultType") != "vector" or not isinstance(data.get("result"), list):
        raise NotExposition(source, "the answer is no instant vector", "name a Prometheus-compatible query API")
    found = Vector([], [])
    for item in data["result"]:
        try:
            labels = json.dumps(item["metric"], separators=(",", ":"), sort_keys=True).encode()
            value = number(str(item["value"][1]).encode())
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise NotExposition(source, f"a series of the answer is malformed: {error!r}") from error
        found.labels.append(labels)
        found.values.append(_NAN if value is None else value)
    return found


def matrix(body: bytes, source: str) -> Iterator[tuple[dict[str, str], float, float]]:
    """(labels, value, sample time) of the newest sample of every series of a range selector's answer."""
    data = _data(body, source)
    if data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        raise NotExposition(source, "the answer is no matrix", "name a Prometheus-compatible query API")
    for item in data["result"]:
        try:
            stamp, text = item["values"][-1]
            labels = _labels(item["metric"])
            value, at = number(str(text).encode()), float(stamp)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise NotExposition(source, f"a series of the answer is malformed: {error!r}") from error
        yield labels, _NAN if value is None else value, at


def _data(body: bytes, source: str) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        fix = "name a Prometheus-compatible query API"
        raise NotExposition(source, "the answer is no JSON", fix) from error
    if not isinstance(answer, dict):
        raise NotExposition(source, "the answer is no JSON object", "name a Prometheus-compatible query API")
    if answer.get("status") != "success":
        raise Unreachable(source, f"the query failed: {str(answer.get('error', 'no reason given'))[:200]}")
    data = answer.get("data")
    if not isinstance(data, dict):
        raise NotExposition(source, "the answer holds no data", "name a Prometheus-compatible query API")
    return data


def labels_of(text: bytes) -> dict[str, str] | None:
    """A JSON object of labels as a dict, None when it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    return _labels(found)


def _labels(found: Mapping[Any, Any]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in found.items()}


def _text(value: object) -> str:
    """As text that can be written out again: JSON may hold half a surrogate pair."""
    return str(value).encode(errors="replace").decode()

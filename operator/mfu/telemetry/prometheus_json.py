"""Instant-query answers of a Prometheus-compatible API, read without building an object for every label.

`vector` walks the bytes from one `{"metric":` to the next: in JSON a quote inside a string is escaped, so neither that
text nor `,"value":[` can occur within a label. An answer laid out otherwise goes through the json module.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from mfu.telemetry.errors import NotExposition, Unreachable
from mfu.telemetry.exposition import number

_START: Final = b'{"metric":'
_VALUE: Final = b',"value":['
_NEXT: Final = b"]},"
_LAST: Final = b"]}]}"
_NAN: Final = float("nan")


def vector(body: bytes, source: str) -> Iterable[tuple[bytes, float]]:
    """(labels as their JSON object, value) of every series of an instant vector.

    Values that are no number are NaN. Raises Unreachable with the server's own message where it reports an error, and
    NotExposition where the body is no instant vector.
    """
    fast = _fast_vector(body)
    return _slow_vector(_data(body, source), source) if fast is None else fast


def _fast_vector(body: bytes) -> list[tuple[bytes, float]] | None:
    """The answer where it is laid out as servers write it, None where anything differs."""
    head, *chunks = body.split(_START)
    if not chunks or not _frames(head, chunks[-1].rpartition(_LAST)[2]):
        return None
    found: list[tuple[bytes, float]] = []
    last = len(chunks) - 1
    for position, chunk in enumerate(chunks):
        labels, _, rest = chunk.partition(_VALUE)
        text, quote, tail = rest.partition(b',"')[2].partition(b'"')
        if not quote or (tail != _NEXT if position < last else not tail.startswith(_LAST)):
            return None
        try:
            value = float(text)
        except ValueError:
            value = _NAN
        found.append((labels, _NAN if b"_" in text else value))
    return found


def _frames(head: bytes, rest: bytes) -> bool:
    """Is what surrounds the series the frame of a successful vector? Servers add statistics or warnings behind it."""
    try:
        before, behind = json.loads(head + b"]}}"), json.loads(b'{"data":0' + rest)
    except (ValueError, RecursionError):
        return False
    if not isinstance(before, dict) or before.get("status") != "success" or not isinstance(before.get("data"), dict):
        return False
    vector_like = before["data"].get("resultType") == "vector" and before["data"].get("result") == []
    return vector_like and behind.get("data") == 0 and "status" not in behind


def _slow_vector(data: Mapping[str, Any], source: str) -> Iterator[tuple[bytes, float]]:
    if data.get("resultType") != "vector" or not isinstance(data.get("result"), list):
        raise NotExposition(source, "the answer is no instant vector", "name a Prometheus-compatible query API")
    for item in data["result"]:
        try:
            labels = json.dumps(item["metric"], separators=(",", ":"), sort_keys=True).encode()
            value = number(str(item["value"][1]).encode())
        except (KeyError, IndexError, TypeError) as error:
            raise NotExposition(source, f"a series of the answer is malformed: {error!r}") from error
        yield labels, _NAN if value is None else value


def matrix(body: bytes, source: str) -> Iterator[tuple[dict[str, str], float, float]]:
    """(labels, value, sample time) of the newest sample of every series of a range selector's answer."""
    data = _data(body, source)
    if data.get("resultType") != "matrix" or not isinstance(data.get("result"), list):
        raise NotExposition(source, "the answer is no matrix", "name a Prometheus-compatible query API")
    for item in data["result"]:
        try:
            stamp, text = item["values"][-1]
            labels = {str(name): str(value) for name, value in item["metric"].items()}
            value, at = number(str(text).encode()), float(stamp)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
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
    return {str(name): str(value) for name, value in found.items()}

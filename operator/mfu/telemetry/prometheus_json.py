"""Instant-query answers of a Prometheus-compatible API, read without building an object for every label.

`vector` walks the bytes from one `{"metric":` to the next: in JSON a quote inside a string is escaped, so neither that
text nor `,"value":[` can occur within a label. An answer laid out otherwise goes through the json module.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mfu.telemetry.errors import NotExposition, Unreachable
from mfu.telemetry.exposition import number

_START: Final = b'{"metric":'
_VALUE: Final = b',"value":['
_END: Final = b"]}}"
_HEAD: Final = b'{"status":"success"'
_VECTOR: Final = b'"resultType":"vector"'
_NAN: Final = float("nan")


def vector(body: bytes, source: str) -> Iterator[tuple[bytes, float]]:
    """(labels as their JSON object, value) of every series of an instant vector.

    Values that are no number are NaN. Raises Unreachable with the server's own message where it reports an error, and
    NotExposition where the body is no instant vector.
    """
    head, *chunks = body.split(_START)
    if not chunks or not head.startswith(_HEAD) or _VECTOR not in head or not body.rstrip().endswith(_END):
        return _slow_vector(_data(body, source), source)
    return _fast_vector(chunks, source)


def _fast_vector(chunks: list[bytes], source: str) -> Iterator[tuple[bytes, float]]:
    for chunk in chunks:
        labels, found, rest = chunk.partition(_VALUE)
        if not found:
            raise NotExposition(source, "an answer holds a series without a value")
        text = rest.partition(b',"')[2].partition(b'"')[0]
        try:
            value = float(text)
        except ValueError:
            value = _NAN
        yield labels, _NAN if b"_" in text else value


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

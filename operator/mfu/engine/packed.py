"""A status at rest: compressed JSON, a tenth of the memory of its objects, and two of them compare at once."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from mfu.api.base import Resource

JSON = dict[str, Any]
S = TypeVar("S", bound=Resource)


class Packed(Generic[S]):
    """Immutable. `read` gives the API's own type, `document` the JSON that a server sends or is sent."""

    __slots__ = ("_kind", "_text", "answers")

    def __init__(self, kind: type[S], document: Mapping[str, Any]) -> None:
        """`document` is what a server holds: it need not be valid."""
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        self._kind, self._text = kind, zlib.compress(text.encode(), 1)
        self.answers: object = document.get("observedGeneration")
        """Generation that it is about, as the document says; at hand without unpacking."""

    @classmethod
    def of(cls, said: S) -> Packed[S]:
        return cls(type(said), dumped(said))

    def read(self) -> S:
        """Never raises: what an older, a newer or a foreign writer left is taken as far as it reads."""
        text = zlib.decompress(self._text)
        try:
            return self._kind.model_validate_json(text)
        except ValidationError as error:
            return _readable(self._kind, json.loads(text), error)

    def document(self) -> JSON:
        document: JSON = json.loads(zlib.decompress(self._text))
        return document

    @property
    def digest(self) -> str:
        """The same of what is equal."""
        return hashlib.sha256(self._text).hexdigest()

    @property
    def bytes_at_rest(self) -> int:
        return len(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packed) and self._kind is other._kind and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Packed({self._kind.__name__}, {self.document()!r})"


def dumped(said: Resource) -> JSON:
    """The JSON of a status: what is unknown or empty is left out."""
    return {key: each for key, each in said.to_api().items() if each != []}


def _readable(kind: type[S], document: JSON, error: ValidationError) -> S:
    """Without the rows, and where that is not enough without the fields, that do not read."""
    for depth in (2, 1):
        document = _without({each["loc"][:depth] for each in error.errors()}, document)
        try:
            return kind.model_validate(document)
        except ValidationError as further:
            error = further
    return kind()


def _without(paths: set[tuple[int | str, ...]], document: JSON) -> JSON:
    rows = {path for path in paths if len(path) == 2 and isinstance(path[1], int)}
    fields = {path[0] for path in paths - rows}
    return {
        key: [row for number, row in enumerate(each) if (key, number) not in rows] if isinstance(each, list) else each
        for key, each in document.items()
        if key not in fields
    }

"""Answers kept by what they depend on, for as long as somebody asks for them.

A cycle asks for the same predictions again and again, and never again for those of a declaration that changed or went:
an operator of weeks would hold every declaration that there ever was, up to some bound. `forget_unasked`, called every
few minutes, lets go of what nobody asked for since the call before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Final, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_NOTHING: Final[Any] = object()


class Memo(Generic[P, R]):
    """A pure function whose answers to hashable arguments are kept: at most `most`, the longest unasked go first.

    Two generations, each of half of them: what is asked for moves to the young one, and what is still in the old one
    when they change is forgotten. They change when the young one is full, too. An answer that raised is not kept.
    Threads may share it: at worst one answer is worked out twice.
    """

    __wrapped__: Callable[P, R]
    """The function itself."""

    def __init__(self, function: Callable[P, R], most: int) -> None:
        self.name = f"{function.__module__}.{function.__qualname__}"
        self._function, self._half = function, max(1, most // 2)
        self._young: dict[Any, R] = {}
        self._old: dict[Any, R] = {}
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (args, tuple(sorted(kwargs.items()))) if kwargs else args
        found: R = self._young.get(key, _NOTHING)
        if found is not _NOTHING:
            return found
        found = self._old.pop(key, _NOTHING)
        if found is _NOTHING:
            found = self._function(*args, **kwargs)
        if len(self._young) >= self._half:
            self.forget_unasked()
        self._young[key] = found
        return found

    def forget_unasked(self) -> None:
        """Let go of what was not asked for since the last time."""
        self._old, self._young = self._young, {}

    def cache_clear(self) -> None:
        """Let go of everything, as `functools.lru_cache` names it."""
        self._old, self._young = {}, {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)


_ALL: Final[list[Memo[Any, Any]]] = []


def memo(*, most: int) -> Callable[[Callable[P, R]], Memo[P, R]]:
    """Decorates a pure function with a Memo of its own, which `forget_unasked` knows."""

    def kept(function: Callable[P, R]) -> Memo[P, R]:
        made = Memo(function, most)
        _ALL.append(made)
        return made

    return kept


def memos() -> tuple[Memo[Any, Any], ...]:
    """All of the process."""
    return tuple(_ALL)


def forget_unasked() -> None:
    """Every memo of the process changes its generation."""
    for each in _ALL:
        each.forget_unasked()

"""The NVML library behind three outcomes: a value, `None` (not told), or a loss that has to be handled."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pynvml

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOST: Final = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})
_GONE: Final = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    }
)


class NVMLUnavailable(Exception):
    """No driver, no library, or the driver was reset under us: close, and open again later.

    `stale_library`: the driver was replaced by another version; only a new process can load its library.
    """

    def __init__(self, message: str, *, stale_library: bool = False) -> None:
        super().__init__(message)
        self.stale_library = stale_library


class GPULost(Exception):
    """One GPU has fallen off the bus or waits for a reset; the others go on."""


class NVMLMissing(Exception):
    """What was asked for does not exist (any more), such as a MIG slice that was destroyed."""


def ask(function: Callable[..., T], *arguments: Any) -> T | None:
    """The answer, None where this GPU, driver or permission does not give one. Raises NVMLUnavailable, GPULost."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        _raise_loss(error)
        return None


def need(function: Callable[..., T], *arguments: Any) -> T:
    """The answer of a call that every GPU must answer. Raises Missing too."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        _raise_loss(error)
        raise NVMLMissing(f"{getattr(function, '__name__', 'nvml')}: {error}") from error


def _raise_loss(error: Any) -> None:
    if error.value in _LOST:
        raise GPULost(str(error)) from error
    if error.value in _GONE:
        stale = error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
        raise NVMLUnavailable(str(error), stale_library=stale) from error


def open_library() -> str:
    """Load and initialise NVML; gives the driver version. Raises NVMLUnavailable."""
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError as error:
        stale = error.value == pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
        raise NVMLUnavailable(f"NVML does not start: {error}", stale_library=stale) from error


def close_library() -> None:
    """Let go of the driver, so that it can be reset or unloaded."""
    try:
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        log.debug("nvml shutdown error=%s", error)

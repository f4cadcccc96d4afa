"""What can go wrong between a source and its readings. Each error names the source, the problem and the fix."""

from __future__ import annotations


class TelemetryError(Exception):
    """A source gave nothing that can be used; the last good readings age into unknown."""

    def __init__(self, source: str, problem: str, fix: str = "", *, size: int = 0) -> None:
        super().__init__(f"{source}: {problem}" + (f"; {fix}" if fix else ""))
        self.source = source
        self.problem = problem
        self.fix = fix
        self.size = size
        """Bytes that were read before it went wrong."""


class Unreachable(TelemetryError):
    """No connection, a time-out, or an HTTP status other than 200."""


class Redirected(TelemetryError):
    """The endpoint pointed elsewhere; following it would let a tenant steer the operator's requests."""


class TooLarge(TelemetryError):
    """The body passed the cap: an endless or foreign endpoint."""


class NotExposition(TelemetryError):
    """The body holds nothing that this adapter reads."""

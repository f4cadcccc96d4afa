"""The health of a running container, as its three probes and its process tell it."""

from __future__ import annotations

from e2e.testbed.podrunner.fields import Document
from e2e.testbed.podrunner.probes import Counter, Probe


class Health:
    """Start-up first, then readiness and liveness, as a kubelet does. Times are seconds since the container started.

    A kubelet kills the container when start-up or liveness fails; here `failure` then says why.
    """

    def __init__(self, container: Document) -> None:
        self._startup = _counter(container, "startup", passing=False)
        self._readiness = _counter(container, "readiness", passing=False)
        self._liveness = _counter(container, "liveness", passing=True)
        self._startup_misses = 0
        self.failure: str | None = None

    @property
    def started(self) -> bool:
        """Whether the start-up probe has passed, or there is none."""
        return self._startup is None or self._startup.passing

    @property
    def ready(self) -> bool:
        """Whether the container is ready now."""
        return self.started and self.failure is None and (self._readiness is None or self._readiness.passing)

    @property
    def waiting_for(self) -> str:
        """What keeps it from being ready, for an error message."""
        for counter in (self._startup, self._readiness):
            if counter is not None and not counter.passing:
                return f"{counter.probe.kind} probe: {counter.last_error or 'not asked yet'}"
        return self.failure or "nothing"

    def step(self, now_seconds: float) -> None:
        """Ask every probe that is due."""
        if not self.started:
            assert self._startup is not None
            self._step_startup(self._startup, now_seconds)
            return
        for counter in (self._readiness, self._liveness):
            if counter is not None and now_seconds >= counter.due_seconds:
                counter.record(counter.probe.ask(), at_seconds=now_seconds)
        if self._liveness is not None and not self._liveness.passing:
            self.failure = f"liveness probe failed: {self._liveness.last_error}"

    def _step_startup(self, counter: Counter, now_seconds: float) -> None:
        if now_seconds < counter.due_seconds:
            return
        counter.record(counter.probe.ask(), at_seconds=now_seconds)
        self._startup_misses += counter.last_error is not None
        if self._startup_misses >= counter.probe.failure_threshold:
            self.failure = f"startup probe failed: {counter.last_error}"


def _counter(container: Document, kind: str, *, passing: bool) -> Counter | None:
    probe = Probe.parse(container, kind)
    return None if probe is None else Counter(probe, passing=passing)

"""The admission handler: answers at the prompt of whoever applies a ModelWorkload or an MFUPolicy, and fails open.

Its own small process, without watch, lease or state. Only a name that does not exist is refused; everything else is at
most a warning, and an answer that takes too long is none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import kopf
from prometheus_client import CollectorRegistry, Histogram
from pydantic import ValidationError

from mfu.api.base import Resource
from mfu.api.mfupolicy import PolicySpec
from mfu.api.modelworkload import WorkloadSpec
from mfu.api.names import GROUP, VERSION
from mfu.controller import certificate
from mfu.controller.login import add_login
from mfu.controller.server import serve
from mfu.controller.settings import configure
from mfu.engine.prompt import Told, about_policy, about_workload, unknown_names

log = logging.getLogger(__name__)

LONGEST_SECONDS: Final = 0.6
"""The API server waits one second; a person should not wait for advice that comes too late."""
MOST_WAITING: Final = 8
_WARM = {
    "mode": "Training",
    "targetRef": {"apiVersion": "batch/v1", "kind": "Job", "name": "warm"},
    "model": {"preset": "llama-3.1-8b"},
    "accelerators": {"count": 8, "products": ["H100-SXM5"]},
    "training": {"sequenceLength": 4096, "globalBatchSize": 64, "parallelism": {"data": 8}},
}

S = TypeVar("S", bound=Resource)


@dataclass(frozen=True, slots=True)
class Options:
    """How `mfu admission` serves. `configuration` is the webhook configuration to announce an own certificate in;
    None where the certificate is somebody else's, who announces it too."""

    host: str
    """Name by which the API server calls, such as mfu-admission.mfu-system.svc."""
    certificates: Path
    """Folder of tls.crt and tls.key."""
    configuration: str | None = None
    address: str = "0.0.0.0"
    port: int = 9443
    health_port: int = 8081
    kubeconfig: Path | None = None


@dataclass(slots=True)
class AdmissionAnswers:
    """What is said to a declaration, within the time that a prompt may take."""

    seconds: Histogram | None = None
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "prompt"))
    _waiting: int = 0

    def warm(self) -> None:
        """The first prediction loads presets and constants: not while somebody waits."""
        about_workload(WorkloadSpec.model_validate(_WARM))

    async def workload(self, spec: WorkloadSpec) -> Told:
        if self._waiting >= MOST_WAITING:
            return unknown_names(spec)
        self._waiting += 1
        work = asyncio.get_running_loop().run_in_executor(self._pool, about_workload, spec)
        work.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(work), LONGEST_SECONDS)
        except TimeoutError:
            return unknown_names(spec)

    async def policy(self, spec: PolicySpec) -> Told:
        return about_policy(spec)

    def _done(self, work: asyncio.Future[Told]) -> None:
        self._waiting -= 1
        if not work.cancelled() and work.exception() is not None:
            log.error("no answer: %r", work.exception())


def registry_for(options: Options, answers: AdmissionAnswers) -> kopf.OperatorRegistry:
    """Everything that kopf does in this process."""
    registry, running = kopf.OperatorRegistry(), AsyncExitStack()
    add_login(registry, options.kubeconfig)

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        settings.admission.managed = None
        await asyncio.to_thread(answers.warm)
        await certificate.keep_own(
            running, options.certificates, options.host, options.configuration, kubeconfig=options.kubeconfig
        )
        settings.admission.server = kopf.WebhookServer(
            addr=options.address,
            port=options.port,
            host=options.host,
            certfile=options.certificates / "tls.crt",
            pkeyfile=options.certificates / "tls.key",
        )
        await running.enter_async_context(_health(options, answers))

    @kopf.on.cleanup(registry=registry)
    async def finish(**_: Any) -> None:
        await running.aclose()

    # kopf refuses what its handler raises: nothing but the refusal that is meant may leave these.
    @kopf.on.validate(GROUP, VERSION, "modelworkloads", id="modelworkload", registry=registry)
    async def workload(body: kopf.Body, warnings: list[str], old: Any = None, **_: Any) -> None:
        spec = _changed(WorkloadSpec, body, old)
        _say(await _guarded(answers.workload, spec), warnings)

    @kopf.on.validate(GROUP, VERSION, "mfupolicies", id="mfupolicy", registry=registry)
    async def policy(body: kopf.Body, warnings: list[str], old: Any = None, **_: Any) -> None:
        spec = _changed(PolicySpec, body, old)
        _say(await _guarded(answers.policy, spec), warnings)

    return registry


def _changed(type_: type[S], body: Mapping[str, Any], old: Mapping[str, Any] | None) -> S | None:
    """The spec where it is news. Labels and finalizers of an object that we would refuse today still may change."""
    if body.get("metadata", {}).get("deletionTimestamp") or (old is not None and old.get("spec") == body.get("spec")):
        return None
    try:
        return type_.model_validate(dict(body.get("spec") or {}))
    except ValidationError as error:
        log.warning("spec can not be read: %s", error)
        return None


async def _guarded(answer: Callable[[S], Any], spec: S | None) -> Told:
    if spec is None:
        return Told()
    try:
        told: Told = await answer(spec)
        return told
    except Exception:
        log.exception("no answer")
        return Told()


def _say(told: Told, warnings: list[str]) -> None:
    warnings.extend(told.warnings)
    if told.refusal is not None:
        raise kopf.AdmissionError(told.refusal, code=422)


def _health(options: Options, answers: AdmissionAnswers) -> Any:
    def ready() -> str | None:
        return None if (options.certificates / "tls.crt").exists() else "no certificate yet"

    registry = CollectorRegistry()
    answers.seconds = Histogram("mfu_admission_answer_seconds", "Time of one answer.", registry=registry)
    return serve(registry, host=options.address, port=options.health_port, healthy=lambda: None, ready=ready)


async def admit(options: Options) -> int:
    """Serve until a signal."""
    await kopf.operator(registry=registry_for(options, AdmissionAnswers()), clusterwide=True, standalone=True)
    return 0

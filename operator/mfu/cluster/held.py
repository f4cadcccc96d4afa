"""Owners of which nothing runs, as Kubernetes and three projects show them, and where their pod templates stand.

What each takes while it is held (tried on Kubernetes 1.36 with the controllers of JobSet 0.12, LeaderWorkerSet 0.9 and
Trainer 2.2):

- Job: `suspend` and no `startTime`, which suspending takes away: nodeSelector, annotations, and resources from 1.36.
- JobSet: `suspend`, nothing active: nodeSelector and annotations, never affinity nor resources.
- LeaderWorkerSet has no suspend: with no replicas, and none left, there is nothing that a new template would restart.
- TrainJob: `suspend`, nothing active: `runtimePatches`, of which one entry is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from mfu.act.queue_gates import names_on
from mfu.act.templates import HeldOwner, HeldTemplate
from mfu.api.names import PLACEMENT_GATE, QUEUE_GATE_ANNOTATION
from mfu.cluster.projection import requested
from mfu.cluster.resources import JSON, ResourcePath, runs_pods
from mfu.decide.fleet.constraints import Constraints

QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"
PATCH_MANAGER: Final = "mfu.gpuaas.io/placement"
"""Our entry of a TrainJob's runtimePatches."""
TRAINER_PART: Final = "node"
"""The part of Kubeflow's runtimes that trains:
https://github.com/kubeflow/trainer/blob/v2.2.0/pkg/constants/constants.go (Node)"""
_TOPOLOGY_PREFIX: Final = "kueue.x-k8s.io/podset-"


class TemplateAt(NamedTuple):
    """One pod template of an owner and the JSON pointer to it."""

    part: str
    pointer: str
    template: JSON


def held_owner(kind: str) -> Callable[[JSON], HeldOwner | None]:
    """A projection for objects of that kind: None for what runs, is over, is going, or asks for no GPU."""

    def project(item: JSON) -> HeldOwner | None:
        metadata = item["metadata"]
        if metadata.get("deletionTimestamp") or not is_held(item, kind):
            return None
        queued = QUEUE_LABEL in (metadata.get("labels") or {})
        templates = tuple(_read(each) for each in templates_of(item, kind))
        named = metadata["namespace"], kind, metadata["name"], metadata["uid"]
        owner = HeldOwner(*named, queued, queue_gated(item), templates)
        return owner if templates else None

    return project


def queue_gated(item: JSON) -> bool:
    """Whether our name is on Kueue's gate."""
    gate = (item["metadata"].get("annotations") or {}).get(QUEUE_GATE_ANNOTATION, "")
    return PLACEMENT_GATE in names_on(gate)


def is_held(item: JSON, kind: str) -> bool:
    """Nothing of it runs, and nothing will until somebody takes it up."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    return _HELD[kind](spec, status)


def templates_of(item: JSON, kind: str) -> Iterator[TemplateAt]:
    """Of pods that ask for GPUs."""
    return (each for each in _TEMPLATES[kind](item.get("spec") or {}) if gpus_of(each.template))


def gpus_of(template: JSON) -> dict[str, int]:
    """Devices of one pod by resource name."""
    return requested(template.get("spec") or {})


def _read(at: TemplateAt) -> HeldTemplate:
    spec = at.template.get("spec") or {}
    annotations = (at.template.get("metadata") or {}).get("annotations") or {}
    said = {key: value for key, value in annotations.items() if key.startswith(_TOPOLOGY_PREFIX)}
    selector = dict(spec.get("nodeSelector") or {})
    return HeldTemplate(at.part, selector, said, gpus_of(at.template), Constraints.read(spec))


def _job_held(spec: JSON, status: JSON) -> bool:
    over = any(each.get("type") in ("Complete", "Failed") for each in status.get("conditions") or ())
    return bool(spec.get("suspend")) and not (status.get("startTime") or status.get("active") or over)


def _set_held(spec: JSON, status: JSON) -> bool:
    return bool(spec.get("suspend")) and not any(each.get("active") for each in _jobs_of(status))


def _jobs_of(status: JSON) -> list[JSON]:
    """Of a JobSet, and of a TrainJob."""
    return [*(status.get("replicatedJobsStatus") or ()), *(status.get("jobsStatus") or ())]


def _group_held(spec: JSON, status: JSON) -> bool:
    return spec.get("replicas") == 0 and not status.get("replicas")


_HELD: Final[Mapping[str, Callable[[JSON, JSON], bool]]] = {
    "Job": _job_held,
    "JobSet": _set_held,
    "LeaderWorkerSet": _group_held,
    "TrainJob": _set_held,
}


def _of_job(spec: JSON) -> Iterator[TemplateAt]:
    yield TemplateAt("", "/spec/template", spec.get("template") or {})


def _of_jobset(spec: JSON) -> Iterator[TemplateAt]:
    for index, each in enumerate(spec.get("replicatedJobs") or ()):
        template = ((each.get("template") or {}).get("spec") or {}).get("template") or {}
        yield TemplateAt(each["name"], f"/spec/replicatedJobs/{index}/template/spec/template", template)


def _of_group(spec: JSON) -> Iterator[TemplateAt]:
    parts = spec.get("leaderWorkerTemplate") or {}
    for name in ("leaderTemplate", "workerTemplate"):
        if name in parts:
            yield TemplateAt(name, f"/spec/leaderWorkerTemplate/{name}", parts[name])


def _of_trainjob(spec: JSON) -> Iterator[TemplateAt]:
    """What we said of it before, with what its pods ask for: the template itself stands in its runtime."""
    resources = (spec.get("trainer") or {}).get("resourcesPerNode") or {}
    said: JSON = next((each for each in spec.get("runtimePatches") or () if each.get("manager") == PATCH_MANAGER), {})
    template = patched_template(said)
    container = {"resources": {"limits": resources.get("limits") or resources.get("requests") or {}}}
    pod = {**(template.get("spec") or {}), "containers": [container]}
    yield TemplateAt(TRAINER_PART, "", {"metadata": template.get("metadata") or {}, "spec": pod})


def patched_template(entry: JSON) -> JSON:
    """What an entry of runtimePatches says of the pods that train."""
    jobs = _down(entry, "trainingRuntimeSpec", "template", "spec").get("replicatedJobs") or ()
    mine: JSON = next((each for each in jobs if each.get("name") == TRAINER_PART), {})
    return _down(mine, "template", "spec", "template")


def _down(document: JSON, *keys: str) -> JSON:
    found: Any = document
    for key in keys:
        found = found.get(key) or {}
    return dict(found)


_TEMPLATES: Final[Mapping[str, Callable[[JSON], Iterator[TemplateAt]]]] = {
    "Job": _of_job,
    "JobSet": _of_jobset,
    "LeaderWorkerSet": _of_group,
    "TrainJob": _of_trainjob,
}
HOLDABLE: Final[tuple[ResourcePath, ...]] = tuple(runs_pods(kind) for kind in _TEMPLATES)

"""Definitions of kinds that run pods, as their own projects publish them; without their controllers."""

from __future__ import annotations

from typing import Final

from e2e.testbed.cluster.client import ClusterAccess
from e2e.testbed.cluster.gobuild import module_folder
from e2e.testbed.cluster.pins import JOBSET, LEADER_WORKER_SET, TRAINER, Source
from e2e.testbed.cluster.waiting import wait_until

_DEFINITIONS: Final[tuple[tuple[Source, str, str], ...]] = (
    (JOBSET, "config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml", "jobsets.jobset.x-k8s.io"),
    (
        LEADER_WORKER_SET,
        "config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml",
        "leaderworkersets.leaderworkerset.x-k8s.io",
    ),
    (TRAINER, "manifests/base/crds/trainer.kubeflow.org_trainjobs.yaml", "trainjobs.trainer.kubeflow.org"),
)
_WATCHED: Final[tuple[tuple[Source, str, str], ...]] = (
    *(
        (TRAINER, f"manifests/base/crds/trainer.kubeflow.org_{name}.yaml", f"{name}.trainer.kubeflow.org")
        for name in ("trainingruntimes", "clustertrainingruntimes")
    ),
    (
        LEADER_WORKER_SET,
        "config/crd/bases/disaggregatedset.x-k8s.io_disaggregatedsets.yaml",
        "disaggregatedsets.disaggregatedset.x-k8s.io",
    ),
)


def define_owners(server: ClusterAccess, *, watched: bool = False) -> None:
    """JobSet, LeaderWorkerSet and TrainJob are served when this returns; `watched`: what their controllers need too."""
    for source, path, name in (*_DEFINITIONS, *(_WATCHED if watched else ())):
        server.kubectl("apply", "--server-side", "-f", str(module_folder(source) / path))
        wait_until(lambda name=name: _served(server, name), what=f"{name} to be served", within_seconds=60)  # type: ignore[misc]


def _served(server: ClusterAccess, name: str) -> bool:
    try:
        server.kubectl("get", name, "-A")
    except Exception:
        return False
    return True

"""Whose pod it is: a table of claims, and properties of every assignment."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.api.metadata import LabelSelector
from mfu.api.modelworkload import TargetRef, WorkloadSpec
from mfu.api.names import WORKLOAD_LABEL
from mfu.engine.claims import assign, qualified
from mfu.engine.snapshot import PodView, WorkloadView

BASE = WorkloadSpec.model_validate(
    {
        "mode": "Training",
        "model": {"preset": "llama-3.1-8b"},
        "accelerators": {"count": 1},
        "training": {"sequenceLength": 8, "globalBatchSize": 1},
    }
)


def workload(
    name: str, *, created: float = 0.0, target: tuple[str, str] | None = None, selector: dict[str, str] | None = None
) -> WorkloadView:
    spec = BASE.model_copy(
        update={
            "target_ref": target and TargetRef(api_version="v1", kind=target[0], name=target[1]),
            "pod_selector": None if selector is None else LabelSelector(match_labels=selector),
        }
    )
    return WorkloadView("team-a", name, f"uid-{name}", 1, created, spec)


def pod(name: str, *, owners: tuple[tuple[str, str], ...] = (), labels: dict[str, str] | None = None) -> PodView:
    return PodView("team-a", name, f"uid-{name}", 0.0, "n0", "Running", labels or {}, owners, {"nvidia.com/gpu": 1})


CASES = {
    "a job's pod": (pod("p", owners=(("Job", "train"),)), workload("w", target=("Job", "train")), True),
    "another job's pod": (pod("p", owners=(("Job", "other"),)), workload("w", target=("Job", "train")), False),
    "a deployment's pod, through its ReplicaSet": (
        pod("p", owners=(("ReplicaSet", "serve-7c9d"),), labels={"pod-template-hash": "7c9d"}),
        workload("w", target=("Deployment", "serve")),
        True,
    ),
    "a deployment whose name begins alike": (
        pod("p", owners=(("ReplicaSet", "serve-two-7c9d"),), labels={"pod-template-hash": "7c9d"}),
        workload("w", target=("Deployment", "serve")),
        False,
    ),
    "a RayJob's pod, by how its cluster is named": (
        pod("p", owners=(("RayCluster", "rj-raycluster-tnd4z"),), labels={"ray.io/cluster": "rj-raycluster-tnd4z"}),
        workload("w", target=("RayJob", "rj")),
        True,
    ),
    "a RayService's pod, by KubeRay's labels": (
        pod("p", labels={"ray.io/originated-from-crd": "RayService", "ray.io/originated-from-cr-name": "llm"}),
        workload("w", target=("RayService", "llm")),
        True,
    ),
    "another RayJob's pod, by KubeRay's labels": (
        pod(
            "p",
            labels={
                "ray.io/cluster": "llm-raycluster-tnd4z",
                "ray.io/originated-from-crd": "RayJob",
                "ray.io/originated-from-cr-name": "other",
            },
        ),
        workload("w", target=("RayJob", "llm")),
        False,
    ),
    "a CronJob's pod, through its Job": (
        pod("p", owners=(("Job", "nightly-29387520"),)),
        workload("w", target=("CronJob", "nightly")),
        True,
    ),
    "a Volcano Job of the same name": (
        pod("p", owners=(("Job.batch.volcano.sh", "train"),)),
        workload("w", target=("Job", "train")),
        False,
    ),
    "an LLMInferenceService's pod": (
        pod("p", labels={"app.kubernetes.io/name": "llm", "app.kubernetes.io/part-of": "llminferenceservice"}),
        workload("w", target=("LLMInferenceService", "llm")),
        True,
    ),
    "any other pod of that name": (
        pod("p", labels={"app.kubernetes.io/name": "llm"}),
        workload("w", target=("LLMInferenceService", "llm")),
        False,
    ),
    "a JobSet's pod, by its label": (
        pod("p", owners=(("Job", "set-0"),), labels={"jobset.sigs.k8s.io/jobset-name": "set"}),
        workload("w", target=("JobSet", "set")),
        True,
    ),
    "a bare pod": (pod("p"), workload("w", target=("Pod", "p")), True),
    "by selector": (pod("p", labels={"app": "x"}), workload("w", selector={"app": "x"}), True),
    "an empty selector selects nothing": (pod("p"), workload("w", selector={}), False),
    "our label": (pod("p", labels={WORKLOAD_LABEL: "w"}), workload("w", target=("Job", "none")), True),
}


@pytest.mark.parametrize("case", CASES)
def test_claim(case: str) -> None:
    each, owner, belongs = CASES[case]
    found = assign([owner], [each])
    assert (each in found.pods.get(owner.key, ())) is belongs
    assert (each in found.unclaimed) is not belongs


def test_the_older_claim_wins_and_the_younger_is_told() -> None:
    older, younger = workload("b", created=1, target=("Job", "t")), workload("a", created=2, target=("Job", "t"))
    found = assign([younger, older], [pod("p", owners=(("Job", "t"),))])
    assert set(found.pods) == {older.key}
    assert "pod p, which already belongs to the older ModelWorkload b" in found.conflicts[younger.key].message


def test_the_label_wins_over_an_older_selector() -> None:
    older, named = workload("old", created=1, selector={"app": "x"}), workload("new", created=2, target=("Job", "j"))
    found = assign([older, named], [pod("p", labels={"app": "x", WORKLOAD_LABEL: "new"})])
    assert set(found.pods) == {named.key}
    assert not found.conflicts


def test_namespaces_are_apart() -> None:
    elsewhere = replace(pod("p", owners=(("Job", "t"),)), namespace="team-b")
    assert assign([workload("w", target=("Job", "t"))], [elsewhere]).unclaimed == (elsewhere,)


names = st.sampled_from(["a", "b", "c"])
workloads = st.lists(
    st.builds(
        workload,
        names,
        created=st.integers(0, 3).map(float),
        target=st.tuples(st.just("Job"), names),
        selector=st.one_of(st.none(), st.fixed_dictionaries({"app": names})),
    ),
    unique_by=lambda view: view.name,
)
pods = st.lists(
    st.builds(
        pod,
        st.sampled_from("pqrst"),
        owners=st.tuples(st.tuples(st.just("Job"), names)),
        labels=st.fixed_dictionaries({"app": names}),
    ),
    unique_by=lambda view: view.name,
)


@given(workloads, pods)
def test_every_pod_has_at_most_one_owner_and_order_is_nothing(mine: list[WorkloadView], theirs: list[PodView]) -> None:
    found = assign(mine, theirs)
    given_away = [each.key for pods in found.pods.values() for each in pods] + [each.key for each in found.unclaimed]
    assert sorted(given_away) == sorted(each.key for each in theirs)
    again = assign(mine[::-1], theirs[::-1])
    assert again.pods == found.pods
    assert again.conflicts == found.conflicts


@pytest.mark.parametrize(
    ("kind", "api_version", "expected"),
    [
        ("Job", "batch/v1", "Job"),
        ("Job", "v1", "Job"),
        ("Job", "batch.volcano.sh/v1alpha1", "Job.batch.volcano.sh"),
        ("RayCluster", "ray.io/v1", "RayCluster"),
        ("Notebook", "kubeflow.org/v1", "Notebook"),
    ],
)
def test_a_kind_is_told_by_its_api_group(kind: str, api_version: str, expected: str) -> None:
    assert qualified(kind, api_version) == expected


def test_target_ref_honours_its_api_group() -> None:
    volcano = TargetRef(api_version="batch.volcano.sh/v1alpha1", kind="Job", name="train")
    claimant = replace(workload("w"), spec=BASE.model_copy(update={"target_ref": volcano}))
    mine, other = pod("p", owners=(("Job.batch.volcano.sh", "train"),)), pod("q", owners=(("Job", "train"),))
    found = assign([claimant], [mine, other])
    assert [each.name for each in found.pods["team-a/w"]] == ["p"]

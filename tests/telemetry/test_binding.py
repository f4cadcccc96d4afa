"""Forged attribution: a source speaks of pods on its own node, as they are now, and since they started."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfu.observe.readings import METRICS, Counter, GPUIdentity, GPUKey, GPURound, Metric, ProgressReading, SourceState
from mfu.telemetry.dcgm.adapter import DCGMFleet
from mfu.telemetry.rounds.binding import Binder, PodBinding
from mfu.telemetry.store.recent import Store

VICTIM = PodBinding("uid-victim", "n0", 100.0)
BINDINGS: Mapping[tuple[str, str], PodBinding] = {
    ("team-a", "victim"): VICTIM,
    ("team-b", "mine"): PodBinding("uid-mine", "n1", 100.0),
}


def device(node: str | None, pod: str | None = "victim", *, uuid: str = "GPU-0", uid: str | None = None) -> GPUIdentity:
    namespace = {"victim": "team-a", "mine": "team-b"}.get(pod or "", "team-c" if pod else None)
    return GPUIdentity(GPUKey(uuid), "NVIDIA H100 80GB HBM3", node, namespace=namespace, pod=pod, pod_uid=uid)


def round_of(*devices: GPUIdentity, at: float = 1000.0, tensor: float = 0.5, interval: float = 30.0) -> GPURound:
    values = np.full((len(devices), METRICS), np.nan)
    values[:, Metric.TENSOR_ACTIVE] = tensor
    return GPURound("dcgm", SourceState.OK, devices, np.full(len(devices), at), values, interval)


@pytest.mark.parametrize(
    ("forged", "why"),
    [
        (device("n1"), "runs on n0"),
        (device("n1", "nobody"), "runs on no node"),
        (device("n0", uid="uid-of-yesterday"), "there is a new one"),
        (device(None), None),
    ],
    ids=["a pod of another node", "a pod that there is not", "the pod before of that name", "a node that it hides"],
)
def test_rows_about_pods_that_are_not_there_are_dropped_and_counted(forged: GPUIdentity, why: str | None) -> None:
    believed = Binder().believe(round_of(forged, device("n0")), BINDINGS)
    assert believed.foreign == 1
    assert [(each.node, each.pod, each.pod_uid) for each in believed.round.devices] == [("n0", "victim", "uid-victim")]
    assert len(believed.round.values) == len(believed.round.observed_at) == 1
    assert why is None or why in believed.refused[forged.node or ""]


def test_devices_that_nobody_holds_are_kept() -> None:
    believed = Binder().believe(round_of(device("n0", None)), BINDINGS)
    assert (believed.foreign, len(believed.round.devices)) == (0, 1)


@pytest.mark.parametrize(("at", "kept"), [(129.9, False), (130.0, True)])
def test_a_reading_whose_interval_began_before_the_pod_is_not_the_pods(at: float, kept: bool) -> None:
    believed = Binder().believe(round_of(device("n0"), at=at), BINDINGS)
    assert bool(np.isfinite(believed.round.observed_at[0])) is kept
    assert believed.early == (not kept)
    store = Store()
    assert store.add_round(believed.round, at) == kept


def test_what_was_matched_stays_while_labels_and_pods_do() -> None:
    binder, found = Binder(), round_of(device("n0"))
    first = binder.believe(found, BINDINGS).round.devices
    assert binder.believe(found, BINDINGS).round.devices is first
    assert binder.believe(found, dict(BINDINGS)).round.devices is first
    assert binder.believe(found, {}).foreign == 1


@given(st.lists(st.tuples(st.sampled_from(["n0", "n1", None]), st.sampled_from(["victim", "mine", "x", None]))))
def test_whatever_sources_say_a_pod_is_read_on_its_own_node_only(said: list[tuple[str | None, str | None]]) -> None:
    devices = tuple(device(node, pod, uuid=f"GPU-{row}") for row, (node, pod) in enumerate(said))
    for each in Binder().believe(round_of(*devices), BINDINGS).round.devices:
        if each.pod is not None and each.namespace is not None:
            assert each.node == BINDINGS[(each.namespace, each.pod)].node


def line(node: str, pod: str, value: float, namespace: str = "team-a") -> bytes:
    labels = f'gpu="0",UUID="GPU-0",modelName="NVIDIA H100 80GB HBM3",hostname="{node}",namespace="{namespace}"'
    return f'DCGM_FI_PROF_PIPE_TENSOR_ACTIVE{{{labels},pod="{pod}"}} {value}\n'.encode()


def test_a_node_that_prints_the_uuid_of_another_does_not_touch_what_that_one_says() -> None:
    bodies = {"n0": line("n0", "victim", 0.5), "n1": line("n0", "mine", 0.9, "team-b")}
    found = DCGMFleet().round(bodies, 1000.0, nodes={"n0": "n0", "n1": "n1"})
    believed = Binder().believe(found, BINDINGS).round
    assert not any(each.shared for each in believed.devices)
    store = Store()
    store.add_round(believed, 1000.0)
    latest = store.latest(1000.0)
    seen = {
        each.pod: float(value)
        for each, value in zip(latest.devices, latest.values[:, Metric.TENSOR_ACTIVE].tolist(), strict=True)
    }
    assert seen == {"victim": 0.5, "mine": 0.9}


def test_a_pod_of_the_same_name_inherits_nothing() -> None:
    store, key = Store(), ("team-a", "victim")
    old, new = Binder(), {key: PodBinding("uid-new", "n0", 2000.0)}
    store.add_round(old.believe(round_of(device("n0"), at=1000.0, tensor=0.5), BINDINGS).round, 1000.0)
    counted = {Counter.TRAINED_TOKENS: 1e6}
    store.add_progress([ProgressReading(*key, "progress", 1000.0, counted, pod_uid="uid-victim")])
    assert store.series([key], 1000.0, uids={key: "uid-victim"}) is not None
    assert store.series([key], 1000.0, uids={key: "uid-new"}) is None
    store.add_round(old.believe(round_of(device("n0"), at=1030.0, tensor=0.05), new).round, 1030.0)
    assert (
        store.series([key], 1030.0, uids={key: "uid-new"}) is None
        or not np.isfinite(
            store.series([key], 1030.0, uids={key: "uid-new"}).values  # type: ignore[union-attr]
        ).any()
    )
    store.add_round(old.believe(round_of(device("n0"), at=2030.0, tensor=0.05), new).round, 2030.0)
    found = store.series([key], 2030.0, uids={key: "uid-new"})
    assert found is not None
    assert found.progress == ()
    assert float(np.nanmax(found.values[..., Metric.TENSOR_ACTIVE])) == pytest.approx(0.05)


def test_progress_of_the_next_pod_of_that_name_begins_anew() -> None:
    store, key = Store(), ("team-a", "victim")
    for at, tokens, uid in ((1000.0, 1e9, "old"), (1015.0, 1e3, "new"), (1030.0, 2e3, "new")):
        reading = ProgressReading(*key, "progress", at, {Counter.TRAINED_TOKENS: tokens}, pod_uid=uid)
        store.add_progress([reading])
    found = store.series([key], 1030.0, uids={key: "new"})
    assert found is not None
    assert [each.counters[Counter.TRAINED_TOKENS] for each in found.progress] == [1e3, 2e3]


def test_a_gpu_that_gets_another_number_is_still_the_same_gpu() -> None:
    store, key = Store(), ("team-a", "victim")
    for at, index in ((1000.0, "0"), (1030.0, "7")):
        one = GPUIdentity(GPUKey("GPU-0"), "NVIDIA H100 80GB HBM3", "n0", index, None, *key, pod_uid="uid-victim")
        store.add_round(round_of(one, at=at), at)
    found = store.series([key], 1030.0, uids={key: "uid-victim"})
    assert found is not None
    assert len(found.devices) == 1
    assert len(found.times) == 2


@pytest.mark.parametrize("count", [1e22, 1e300, float("inf"), float("nan")])
def test_a_counter_that_nothing_can_count_to_is_unknown(count: float) -> None:
    store, key = Store(), ("team-a", "victim")
    for at in (1000.0, 1015.0):
        store.add_progress([ProgressReading(*key, "progress", at, {Counter.TRAINED_TOKENS: count})])
    found = store.series([key], 1015.0)
    assert found is not None
    assert not [each for each in found.progress if Counter.TRAINED_TOKENS in each.counters]

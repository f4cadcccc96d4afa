"""PodResources over a real gRPC server on a unix socket, its wire format, and device ids in every form."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfu.agent.attribution import KEEP_SECONDS, POLL_SECONDS, Attribution, HoldingContainer, by_device
from mfu.agent.inventory import AgentGPU, Instance
from mfu.agent.podresources import PodResourcesError, list_allocations
from mfu.agent.wire import ContainerDevice, Malformed, allocations
from tests.agent.kubelet import Row, claim, message, serve

UUID = "GPU-11111111-0000-0000-0000-000000000000"
SLICED = "GPU-22222222-0000-0000-0000-000000000000"
SLICE = "MIG-33333333-0000-0000-0000-000000000000"
GPUS = (
    AgentGPU(index=0, uuid=UUID, name="NVIDIA H100 80GB HBM3", product="H100-SXM5"),
    AgentGPU(
        index=1,
        uuid=SLICED,
        name="NVIDIA H100 80GB HBM3",
        product="H100-SXM5",
        mig_mode=True,
        instances=(Instance(SLICE, 9, 0, "1g.10gb"),),
    ),
)


def test_the_real_wire(tmp_path: Path) -> None:
    rows = [("team", f"pod-{i}", "main", "nvidia.com/gpu", f"GPU-{i}") for i in range(3000)]
    with serve(tmp_path / "kubelet.sock", rows):
        found = list_allocations(tmp_path / "kubelet.sock")
    assert found == [ContainerDevice(*row) for row in rows]


def test_no_pods_is_an_answer(tmp_path: Path) -> None:
    with serve(tmp_path / "kubelet.sock", []):
        assert list_allocations(tmp_path / "kubelet.sock") == []


def test_dynamic_resources_are_read(tmp_path: Path) -> None:
    with serve(tmp_path / "kubelet.sock", claim("team", "pod", "main", "gpu.nvidia.com", "gpu-0")):
        found = list_allocations(tmp_path / "kubelet.sock")
    assert by_device(found, GPUS) == {(UUID, None): (HoldingContainer("team", "pod", "main"),)}


@pytest.mark.parametrize("answer", [grpc.StatusCode.PERMISSION_DENIED, b"\xff\xff\xff"])
def test_refusals_and_nonsense_are_errors_of_ours(tmp_path: Path, answer: grpc.StatusCode | bytes) -> None:
    with serve(tmp_path / "kubelet.sock", answer), pytest.raises(PodResourcesError):
        list_allocations(tmp_path / "kubelet.sock")


def test_no_socket_and_no_grpc_behind_it_are_errors_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.sock"
    with pytest.raises(PodResourcesError):
        list_allocations(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def hang_up() -> None:
            channel, _ = listener.accept()
            channel.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            channel.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(PodResourcesError):
            list_allocations(path)
        thread.join()


NAMES = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=40)
@given(st.lists(st.tuples(NAMES, NAMES, NAMES, NAMES, NAMES), max_size=5))
def test_what_was_encoded_is_decoded(rows: list[Row]) -> None:
    assert allocations(message(rows)) == [ContainerDevice(*row) for row in rows]


@settings(max_examples=40)
@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    try:
        allocations(data)
    except Malformed:
        return


@settings(max_examples=40)
@given(st.lists(st.tuples(NAMES, NAMES, NAMES, NAMES, NAMES), min_size=1, max_size=3), st.data())
def test_a_cut_message_never_gives_a_wrong_device(rows: list[Row], data: st.DataObject) -> None:
    whole = message(rows)
    cut = data.draw(st.integers(0, len(whole) - 1))
    try:
        found = allocations(whole[:cut])
    except Malformed:
        return
    assert found == [ContainerDevice(*row) for row in rows][: len(found)]


@pytest.mark.parametrize(
    ("device", "key"),
    [
        (UUID, (UUID, None)),
        (UUID.lower(), (UUID, None)),
        (f"{UUID}::3", (UUID, None)),
        (SLICE, (SLICED, 9)),
        (f"{SLICE}::0", (SLICED, 9)),
        ("nvidia0", (UUID, None)),
        ("nvidia1/gi9", (SLICED, 9)),
        ("nvidia0/vgpu1", (UUID, None)),
        ("gpu-1", (SLICED, None)),
        ("gpu-7", None),
        ("eth0", None),
        ("GPU-of-another-node", None),
        ("", None),
    ],
)
def test_device_ids(device: str, key: tuple[str, int | None] | None) -> None:
    found = by_device([ContainerDevice("team", "pod", "main", "nvidia.com/gpu", device)], GPUS)
    assert found == ({} if key is None else {key: (HoldingContainer("team", "pod", "main"),)})


def test_a_time_sliced_gpu_has_all_its_pods() -> None:
    found = by_device(
        [ContainerDevice("team", name, "main", "nvidia.com/gpu", f"{UUID}::{i}") for i, name in enumerate("ba")], GPUS
    )
    assert found == {(UUID, None): (HoldingContainer("team", "a", "main"), HoldingContainer("team", "b", "main"))}


class Kubelet:
    def __init__(self) -> None:
        self.up, self.calls = True, 0

    def __call__(self) -> list[ContainerDevice]:
        self.calls += 1
        if not self.up:
            raise PodResourcesError("connection refused")
        return [ContainerDevice("team", "pod", "main", "nvidia.com/gpu", UUID)]


def test_a_kubelet_restart_keeps_the_pods_and_a_kubelet_that_stays_away_loses_them() -> None:
    kubelet = Kubelet()
    attribution = Attribution(kubelet)
    attribution.refresh(0.0)
    kubelet.up = False
    attribution.refresh(POLL_SECONDS)
    assert not attribution.available
    assert attribution.pods(GPUS) == {(UUID, None): (HoldingContainer("team", "pod", "main"),)}
    attribution.refresh(KEEP_SECONDS + POLL_SECONDS)
    assert attribution.pods(GPUS) == {}
    kubelet.up = True
    attribution.refresh(KEEP_SECONDS + 3 * POLL_SECONDS)
    assert attribution.available
    assert attribution.pods(GPUS) != {}


def test_the_kubelet_is_asked_now_and_then() -> None:
    kubelet = Kubelet()
    attribution = Attribution(kubelet)
    for second in range(21):
        attribution.refresh(float(second))
    assert kubelet.calls == 3


def test_a_restarted_kubelet_listens_on_a_new_socket(tmp_path: Path) -> None:
    path = tmp_path / "kubelet.sock"
    rows = [("team", "pod", "main", "nvidia.com/gpu", UUID)]
    attribution = Attribution(lambda: list_allocations(path))
    with serve(path, rows):
        attribution.refresh(0.0)
    attribution.refresh(POLL_SECONDS)
    assert not attribution.available
    path.unlink(missing_ok=True)
    with serve(path, [*rows, ("team", "next", "main", "nvidia.com/gpu", SLICE)]):
        attribution.refresh(2 * POLL_SECONDS)
    assert attribution.available
    assert set(attribution.pods(GPUS)) == {(UUID, None), (SLICED, 9)}

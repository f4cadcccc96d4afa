"""A fake NVML in place of the driver's: real pynvml, real ctypes, a library of ours underneath."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest

from tests.agent.fake_nvml.build import build


class FakeNVML:
    """What tests write into the library. Percent, MiB/s, mW and bytes: NVML's own units."""

    def __init__(self, library: Any) -> None:
        self.library = library

    def reset(self, gpus: int) -> None:
        self.library.fake_reset(gpus)

    def set(self, gpu: int, **fields: int) -> None:
        for name, value in fields.items():
            self.library.fake_set(gpu, name.encode(), ctypes.c_uint64(value))

    def metric(self, gpu: int, number: int, value: float, slot: int | None = None) -> None:
        if slot is None:
            self.library.fake_metric(gpu, number, ctypes.c_double(value))
        else:
            self.library.fake_slice_metric(gpu, slot, number, ctypes.c_double(value))

    def name(self, gpu: int, text: str) -> None:
        self.library.fake_name(gpu, text.encode())

    def slice(
        self, gpu: int, slot: int, number: int, profile: str = "1g.10gb", slices: int = 1, mib: int = 9856
    ) -> None:
        self.library.fake_slice(gpu, slot, number, profile.encode(), slices, ctypes.c_uint64(mib))

    def unslice(self, gpu: int) -> None:
        self.library.fake_unslice(gpu)

    def link(self, gpu: int, link: int, remote: int, active: bool = True) -> None:
        self.library.fake_link(gpu, link, int(active), remote)

    def cluster(self, gpu: int, uuid: bytes) -> None:
        self.library.fake_cluster(gpu, uuid)

    def xid(self, gpu: int, number: int) -> None:
        self.library.fake_xid(gpu, ctypes.c_uint64(number))

    def lose(self, gpu: int, lost: bool = True) -> None:
        self.library.fake_lose(gpu, int(lost))

    def driver(self, up: bool) -> None:
        self.library.fake_driver(int(up))

    def tick(self, second: int) -> None:
        """From now on tensor activity is the number of ticks between two samples, in percent."""
        self.library.fake_tick(second)

    @property
    def calls(self) -> int:
        return int(self.library.fake_calls())

    @property
    def samples(self) -> int:
        """GPM sample buffers that were not given back."""
        return int(self.library.fake_samples())


@pytest.fixture(scope="session")
def fake_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = build(tmp_path_factory.mktemp("nvml"))
    if path is None:
        pytest.skip("no C compiler to build the fake NVML with")
    return path


@pytest.fixture
def nvml(fake_library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNVML]:
    """Four H100s. The loader takes a loaded library of the same SONAME, so pynvml finds ours by its usual name."""
    library = ctypes.CDLL(str(fake_library), mode=ctypes.RTLD_GLOBAL)
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    fake = FakeNVML(library)
    fake.reset(4)
    yield fake
    fake.reset(0)

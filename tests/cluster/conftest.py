"""A client of a real API server that knows our kinds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from e2e.testbed.cluster.plane import ControlPlane
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import connect
from tests.builders.kube import install_definitions


@pytest.fixture(scope="session")
def server(api_server_only: ControlPlane) -> ControlPlane:
    install_definitions(api_server_only)
    return api_server_only


@pytest_asyncio.fixture
async def client(server: ControlPlane) -> AsyncIterator[KubeClient]:
    async with KubeClient(connect(server.kubeconfig)) as made:
        yield made


@pytest.fixture
def space(server: ControlPlane) -> str:
    return server.new_namespace("cluster")

"""A client of the control plane that a file calls its `plane`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from e2e.testbed.cluster import ControlPlane
from mfu.cluster.client import KubeClient
from mfu.cluster.connection import connect


@pytest_asyncio.fixture
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    async with KubeClient(connect(plane.kubeconfig)) as made:
        yield made

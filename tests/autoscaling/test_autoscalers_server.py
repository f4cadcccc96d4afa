"""The real HPA follows our number by the manifest of examples/autoscaling, and holds still without it.

The number goes the way that it goes in a cluster: our metrics page, a real Prometheus, an autoscaler, a Deployment.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.testbed.cluster import ControlPlane, wait_until
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.controllers import external_metrics
from tests.autoscaling.pages import Page, scraped

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "autoscaling"
# The HPA adds four pods or doubles in 15 s.
WITHIN_SECONDS: Final = 60.0
STILL_SECONDS: Final = 20.0
"""Longer than the look-back, the fallback's threshold and the stabilization together."""


@pytest.fixture(scope="module")
def plane(cluster_progress: Progress) -> Iterator[ControlPlane]:
    with ControlPlane.start(aggregation=True, progress=cluster_progress) as started:
        yield started


@pytest.fixture
def space(plane: ControlPlane) -> str:
    name = plane.new_namespace("scale")
    container = {"name": "server", "image": "x"}
    template = {"metadata": {"labels": {"app": "chat"}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "chat"}}, "template": template}
    plane.apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "chat"}, "spec": spec}, namespace=name
    )
    return name


@pytest.fixture
def page(space: str) -> Page:
    return Page(space, "chat")


def replicas(plane: ControlPlane, space: str) -> int:
    return int(plane.get("deployment", "chat", "-n", space)["spec"]["replicas"])


def follows(plane: ControlPlane, space: str, page: Page) -> None:
    """Up, down, and not at all once the number is gone."""
    for wanted in (6, 2):
        _reaches(plane, space, page, wanted)
    page.replicas = None
    until = time.monotonic() + STILL_SECONDS
    while time.monotonic() < until:
        assert replicas(plane, space) == 2
        time.sleep(1.0)
    _reaches(plane, space, page, 3)


def _reaches(plane: ControlPlane, space: str, page: Page, wanted: int) -> None:
    page.replicas = wanted
    wait_until(lambda: replicas(plane, space) == wanted, what=f"{wanted} replicas", within_seconds=WITHIN_SECONDS)


def committed(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    return document


def test_a_plain_hpa_follows_and_holds_still(plane: ControlPlane, space: str, page: Page, tmp_path: Path) -> None:
    with scraped(page, tmp_path) as prometheus, external_metrics.running(plane, prometheus):
        plane.apply(committed("hpa.yaml"), namespace=space)
        follows(plane, space, page)

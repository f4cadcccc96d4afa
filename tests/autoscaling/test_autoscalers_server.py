"""The real HPA and the real KEDA follow our number by the manifests of examples/autoscaling, and hold still without it.

The number goes the way that it goes in a cluster: the operator's metrics page, a real Prometheus, an autoscaler, a
Deployment. The page is printed here by the operator's own code; what it decided is set by the test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.testbed.cluster import ControlPlane, wait_until
from e2e.testbed.cluster.binaries import Progress
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.controllers import external_metrics, keda
from tests.autoscaling.pages import Page, scraped, scraping, served

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

EXAMPLES: Final = Path(__file__).parents[2] / "examples" / "autoscaling"
# The HPA adds four pods or doubles in 15 s.
WITHIN_SECONDS: Final = 60.0
STILL_SECONDS: Final = 20.0
"""Longer than the look-back and the stabilization together."""
SETTLED_SECONDS: Final = 9.0
"""The stabilization and a look of the HPA: had it been told of fewer, they would be gone."""
CHAT, CARELESS, PLAIN = "chat", "careless", "plain"


@pytest.fixture(scope="module")
def plane(cluster_progress: Progress) -> Iterator[ControlPlane]:
    with ControlPlane.start(aggregation=True, progress=cluster_progress) as started:
        yield started


def committed(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    return document


def deployment(name: str) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "server", "image": "x"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


@dataclass
class Followed:
    """Deployments of one namespace, and the page whose number they follow."""

    plane: ControlPlane
    page: Page
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        self.plane.apply(*map(deployment, self.names), namespace=self.space)

    @property
    def space(self) -> str:
        return self.page.namespace

    def replicas(self) -> dict[str, int]:
        found = self.plane.get("deployments", "-n", self.space)["items"]
        return {each["metadata"]["name"]: int(each["spec"]["replicas"]) for each in found}

    def reach(self, wanted: int) -> None:
        """All of them, once the operator wants so many."""
        self.page.replicas = wanted
        aim = dict.fromkeys(self.names, wanted)
        wait_until(lambda: self.replicas() == aim, what=f"{wanted} replicas", within_seconds=WITHIN_SECONDS)

    def still(self, *names: str, at: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.unmoved(names, at)
            time.sleep(0.5)

    def unmoved(self, names: tuple[str, ...], at: int) -> dict[str, int]:
        found = self.replicas()
        assert {name: found[name] for name in names} == dict.fromkeys(names, at)
        return found


def test_a_plain_hpa_follows_and_holds_still(plane: ControlPlane, tmp_path: Path) -> None:
    """Behind a stand-in for prometheus-adapter, which answers the rule that stands in the file."""
    followed = Followed(plane, Page(plane.new_namespace("scale"), CHAT), (CHAT,))
    with scraped(followed.page, tmp_path) as prometheus, external_metrics.running(plane, prometheus):
        plane.apply(committed("hpa.yaml"), namespace=followed.space)
        followed.reach(6)
        followed.reach(2)
        followed.page.replicas = None
        followed.still(CHAT, at=2, seconds=STILL_SECONDS)
        followed.reach(3)


@dataclass
class Kept(Followed):
    """Three that follow one page through KEDA: by the example, carelessly, and an HPA of our own on KEDA's metric."""

    scrape: Callable[[], AbstractContextManager[str]] = field(kw_only=True)
    """A Prometheus at one and the same address."""
    _prometheus: ExitStack = field(default_factory=ExitStack)

    def start_prometheus(self) -> str:
        return self._prometheus.enter_context(self.scrape())

    def stop_prometheus(self) -> None:
        self._prometheus.close()

    @contextmanager
    def without_prometheus(self) -> Iterator[None]:
        self.stop_prometheus()
        try:
            yield
        finally:
            self.start_prometheus()

    def held_back(self) -> bool:
        """Whether KEDA says of the example that it acts without a number."""
        conditions = self.plane.get("scaledobjects.keda.sh", CHAT, "-n", self.space)["status"]["conditions"]
        return any(each["type"] == "Fallback" and each["status"] == "True" for each in conditions)

    def hold_while_the_careless_lose(self, at: int) -> None:
        """Its replicas go, so that the number was missed; ours stay, and KEDA says why."""
        kept = (CHAT, PLAIN)
        wait_until(
            lambda: self.unmoved(kept, at)[CARELESS] == 1,
            what="scale-in of the careless",
            within_seconds=WITHIN_SECONDS,
        )
        wait_until(self.held_back, what="fallback")
        self.still(*kept, at=at, seconds=SETTLED_SECONDS)


@pytest.fixture(scope="module")
def kept(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory, cluster_progress: Progress) -> Iterator[Kept]:
    page, folder, (port,) = Page(plane.new_namespace("keda"), CHAT), tmp_path_factory.mktemp("keda"), free_ports(1)
    with served(page) as target, keda.running(plane, progress=cluster_progress):
        scrape = partial(scraping, target, folder, port=port)
        made = Kept(plane, page, (CHAT, CARELESS, PLAIN), scrape=scrape)
        address = made.start_prometheus()
        objects = by_the_example(made.space, address), carelessly(made.space, address), on_kedas_metric()
        plane.apply(*objects, namespace=made.space)
        yield made
        made.stop_prometheus()


def by_the_example(space: str, address: str) -> dict[str, Any]:
    """As committed, but for the server's address and the namespace in the query, which it tells to change."""
    document = committed("keda.yaml")
    metadata = document["spec"]["triggers"][0]["metadata"]
    metadata["serverAddress"] = address
    metadata["query"] = metadata["query"].replace('"default"', f'"{space}"')
    return document


def carelessly(space: str, address: str) -> dict[str, Any]:
    """What KEDA does unless it is told otherwise: a series that is gone is 0, a fallback is a fixed number."""
    document = by_the_example(space, address)
    document["metadata"]["name"] = document["spec"]["scaleTargetRef"]["name"] = CARELESS
    del document["spec"]["triggers"][0]["metadata"]["ignoreNullValues"]
    del document["spec"]["fallback"]["behavior"]
    return document


def on_kedas_metric() -> dict[str, Any]:
    """The HPA as committed, for another Deployment, asking for the metric by the name that KEDA's adapter gives it."""
    document = committed("hpa.yaml")
    document["metadata"]["name"] = document["spec"]["scaleTargetRef"]["name"] = PLAIN
    selector = {"matchLabels": {"scaledobject.keda.sh/name": CHAT}}
    document["spec"]["metrics"][0]["external"]["metric"] = {"name": "s0-prometheus", "selector": selector}
    return document


def test_keda_follows_up_and_down(kept: Kept) -> None:
    kept.reach(6)
    kept.reach(2)


def test_keda_holds_still_when_the_number_goes(kept: Kept) -> None:
    kept.reach(4)
    kept.page.replicas = None
    kept.hold_while_the_careless_lose(at=4)
    kept.reach(5)


def test_keda_holds_still_without_prometheus(kept: Kept) -> None:
    kept.reach(5)
    with kept.without_prometheus():
        kept.hold_while_the_careless_lose(at=5)
    kept.reach(6)

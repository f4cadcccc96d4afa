"""The claims that we advise with the real scheduler: the product that the solver ranks first, then the second best."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import pytest

from e2e.testbed.cluster import ControlPlane, wait_until
from mfu.decide.fleet.device_claims import DRIVER, claim_template
from mfu.decide.fleet.standing import Need
from tests.decide.test_device_claims import grant
from tests.e2e_cluster.test_controllers import node

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

GROUP: Final = "resource.k8s.io/v1"
RANKED: Final = ("NVIDIA-H200", "NVIDIA-A100-SXM4-80GB")
"""As GPU feature discovery writes them; the driver's own names have blanks."""


def devices(host: str, product: str, count: int) -> dict[str, Any]:
    """As NVIDIA's driver publishes whole GPUs of a node."""
    attributes = {"type": {"string": "gpu"}, "productName": {"string": product.replace("-", " ")}}
    spec = {
        "driver": DRIVER,
        "nodeName": host,
        "pool": {"name": host, "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": f"gpu-{number}", "attributes": attributes} for number in range(count)],
    }
    return {"apiVersion": GROUP, "kind": "ResourceSlice", "metadata": {"name": f"{host}-gpus"}, "spec": spec}


def claiming(name: str) -> dict[str, Any]:
    container = {"name": "train", "image": "none", "resources": {"claims": [{"name": "gpus"}]}}
    claims = [{"name": "gpus", "resourceClaimTemplateName": "train"}]
    spec = {"containers": [container], "resourceClaims": claims}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


@pytest.fixture
def hosts(control_plane: ControlPlane, namespace: str) -> Iterator[tuple[str, ...]]:
    """One node of each product, the best first, with two GPUs each; the second best has the name that sorts first."""
    whole = f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == 'gpu'"
    kind = {"apiVersion": GROUP, "kind": "DeviceClass", "metadata": {"name": DRIVER}}
    names = f"{namespace}-b", f"{namespace}-a"
    control_plane.apply({**kind, "spec": {"selectors": [{"cel": {"expression": whole}}]}})
    for host, product in zip(names, RANKED, strict=True):
        control_plane.apply(node(host, 0), devices(host, product, 2))
    yield names
    # A second try must not find devices that the first one left.
    control_plane.kubectl("delete", "resourceslices", "--all", "--wait=false")


def test_the_scheduler_takes_the_best_that_has_room(
    control_plane: ControlPlane, namespace: str, hosts: tuple[str, ...]
) -> None:
    template = claim_template("train", Need(4, piece=2), [grant(each) for each in RANKED])
    control_plane.apply(template, namespace=namespace)

    def taken(name: str) -> str:
        pod = control_plane.get("pod", name, "-n", namespace)
        return str(pod["spec"].get("nodeName", ""))

    for name, host in zip(("first", "second"), hosts, strict=True):
        control_plane.apply(claiming(name), namespace=namespace)
        assert wait_until(partial(taken, name), what=f"a node for {name}", within_seconds=120) == host
    claims = control_plane.get("resourceclaims", "-n", namespace)["items"]
    results = [each["status"]["allocation"]["devices"]["results"] for each in claims]
    assert sorted((each[0]["request"], len(each)) for each in results) == [("gpus/choice-0", 2), ("gpus/choice-1", 2)]

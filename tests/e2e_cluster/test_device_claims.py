"""The claims that we advise with the real scheduler: the product that the solver ranks first, then the second best; and
slices of a GPU that a driver cuts on allocation, as long as they fit together.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from e2e.testbed.cluster import ControlPlane, KubectlFailed, wait_until
from mfu.cluster.device_slices import OF_OUR_DRIVER, cut_slices, partitioned
from mfu.decide.fleet.capacity import DeviceKind
from mfu.decide.fleet.device_claims import DRIVER, claim_template
from mfu.decide.fleet.partitions import PartitionedNode
from mfu.decide.fleet.standing import Need
from tests.builders.cases import SERVING
from tests.builders.device_slices import partitionable
from tests.decide.test_device_claims import grant
from tests.e2e_cluster.test_controllers import node

pytestmark = [pytest.mark.integration, pytest.mark.owns_control_plane]

ROOT: Final = Path(__file__).parents[2]
GROUP: Final = "resource.k8s.io/v1"
H100: Final = "NVIDIA-H100-80GB-HBM3"
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


def claiming(name: str, template: str = "train") -> dict[str, Any]:
    container = {"name": "train", "image": "none", "resources": {"claims": [{"name": "gpus"}]}}
    claims = [{"name": "gpus", "resourceClaimTemplateName": template}]
    spec = {"containers": [container], "resourceClaims": claims}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def taken(plane: ControlPlane, name: str, namespace: str) -> str:
    """The node that the scheduler gave it; empty while it waits."""
    return str(plane.get("pod", name, "-n", namespace)["spec"].get("nodeName", ""))


def devices_of(plane: ControlPlane, name: str, namespace: str) -> list[tuple[str, str]]:
    """Pool and device of everything that the pod's claim was given."""
    claims = plane.get("resourceclaims", "-n", namespace)["items"]
    mine = [each for each in claims if each["metadata"]["ownerReferences"][0]["name"] == name]
    return [(each["pool"], each["device"]) for each in mine[0]["status"]["allocation"]["devices"]["results"]]


def classes(plane: ControlPlane) -> None:
    """As NVIDIA's driver installs them: of whole GPUs, and of slices."""
    for name, kind in ((DRIVER, "gpu"), ("mig.nvidia.com", "mig")):
        said = f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{kind}'"
        spec = {"selectors": [{"cel": {"expression": said}}]}
        plane.apply({"apiVersion": GROUP, "kind": "DeviceClass", "metadata": {"name": name}, "spec": spec})


@pytest.fixture
def hosts(control_plane: ControlPlane, namespace: str) -> Iterator[tuple[str, ...]]:
    """One node of each product, the best first, with two GPUs free; the second best has the name that sorts first.

    A third GPU of each is held by a pod that can go nowhere else: where that stands, the scheduler knows the node, its
    devices, and that it is ready. A node that it does not know yet is no worse choice, only none.
    """
    names = f"{namespace}-b", f"{namespace}-a"
    classes(control_plane)
    for host, product in zip(names, RANKED, strict=True):
        control_plane.apply(node(host, 0), devices(host, product, 3))
        control_plane.apply(
            claim_template(host, Need(1, piece=1), [grant(product)]), claiming(host, host), namespace=namespace
        )
    for host in names:
        wait_until(partial(taken, control_plane, host, namespace), what=f"{host} to take pods", within_seconds=120)
    yield names
    # A second try must not find devices that the first one left.
    control_plane.kubectl("delete", "resourceslices", "--all", "--wait=false")


def test_the_scheduler_takes_the_best_that_has_room(
    control_plane: ControlPlane, namespace: str, hosts: tuple[str, ...]
) -> None:
    template = claim_template("train", Need(4, piece=2), [grant(each) for each in RANKED])
    control_plane.apply(template, namespace=namespace)

    for name, host in zip(("first", "second"), hosts, strict=True):
        control_plane.apply(claiming(name), namespace=namespace)
        where = partial(taken, control_plane, name, namespace)
        assert wait_until(where, what=f"a node for {name}", within_seconds=120) == host
    claims = control_plane.get("resourceclaims", "-n", namespace)["items"]
    ours = [each for each in claims if each["metadata"]["ownerReferences"][0]["name"] in ("first", "second")]
    results = [each["status"]["allocation"]["devices"]["results"] for each in ours]
    assert sorted((each[0]["request"], len(each)) for each in results) == [("gpus/choice-0", 2), ("gpus/choice-1", 2)]


@pytest.fixture
def cut(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """A node with one H100 that its driver cuts on allocation."""
    classes(control_plane)
    host = f"{namespace}-cut"
    control_plane.apply(node(host, 0), *partitionable(host, H100))
    yield host
    control_plane.kubectl("delete", "resourceslices", "--all", "--wait=false")


def read(plane: ControlPlane) -> tuple[PartitionedNode, ...]:
    """As the operator's informer asks the API server for them, and reads them."""
    found = plane.kubectl("get", "resourceslices", "--field-selector", OF_OUR_DRIVER, "-o", "json")
    slices = (cut_slices(each) for each in json.loads(found)["items"])
    return partitioned(each for each in slices if each is not None)


READ = ("modelworkloads", "mfupolicies", "gpunodes", "fleetreports")


def _listed(plane: ControlPlane, kind: str) -> bool:
    """A definition that was just applied again answers 429 until its storage is there."""
    try:
        plane.kubectl("get", "--raw", f"/apis/mfu.gpuaas.io/v1alpha1/{kind}")
    except KubectlFailed as error:
        assert "(re)initializing" in str(error), error
        return False
    return True


def printed(plane: ControlPlane, folder: Path) -> dict[str, Any]:
    """What `mfu place --claim` prints of a replica called train, which has to answer within 5 ms a token."""
    plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    plane.wait_established()
    wait_until(lambda: all(_listed(plane, kind) for kind in READ), what="what mfu place reads can be listed")
    file = folder / "train.yaml"
    spec = {
        **SERVING,
        "inference": {**SERVING["inference"], "slo": {"tpotMilliseconds": 5}},
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "train"},
    }
    kind = {"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "ModelWorkload", "metadata": {"name": "train"}}
    file.write_text(yaml.safe_dump({**kind, "spec": spec}))
    mfu = Path(sys.executable).with_name("mfu")
    command: list[str | Path] = [mfu, "place", "-f", file, "--claim", f"--kubeconfig={plane.kubeconfig}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


def test_slices_that_fit_together_are_cut_of_one_gpu_and_what_does_not_fit_takes_the_next_choice(
    control_plane: ControlPlane, namespace: str, cut: str, tmp_path: Path
) -> None:
    """A replica that only 3g.40gb and more serve in time: two of them fill an H100, the third takes a whole one."""
    (found,) = read(control_plane)
    assert (found.node, found.product_label) == (cut, H100)
    template = printed(control_plane, tmp_path)
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    asked = [each["selectors"][-1]["cel"]["expression"].rpartition('"')[0] for each in request["firstAvailable"]]
    assert {each.rpartition('"')[2] for each in asked} == {"3g.40gb", "4g.40gb", H100}
    control_plane.apply(template, namespace=namespace)
    where = partial(taken, control_plane)
    for name in ("first", "second"):
        control_plane.apply(claiming(name), namespace=namespace)
        assert wait_until(partial(where, name, namespace), what=f"a node for {name}", within_seconds=120) == cut
    given = [*devices_of(control_plane, "first", namespace), *devices_of(control_plane, "second", namespace)]
    assert len(set(given)) == 2
    assert all("-mig-" in device for _, device in given)

    control_plane.apply(claiming("third"), namespace=namespace)
    wait_until(lambda: unschedulable(control_plane, "third", namespace), what="the third is refused")
    assert where("third", namespace) == "", "the GPU is full, and there is no other"

    other = f"{namespace}-whole"
    control_plane.apply(node(other, 0), devices(other, H100, 1))
    assert wait_until(partial(where, "third", namespace), what="a node for the third", within_seconds=120) == other
    assert devices_of(control_plane, "third", namespace) == [(other, "gpu-0")]


def test_a_slice_of_the_gpu_keeps_the_whole_of_it_from_others(
    control_plane: ControlPlane, namespace: str, cut: str
) -> None:
    """The smallest slices fill it one after another; who asks for the whole GPU waits until it is empty."""
    small = DeviceKind("1g.10gb", H100)
    control_plane.apply(claim_template("train", Need(1), [], [small]), namespace=namespace)
    control_plane.apply(claiming("small"), namespace=namespace)
    where = partial(taken, control_plane)
    assert wait_until(partial(where, "small", namespace), what="a node for it", within_seconds=120) == cut
    whole = claim_template("whole", Need(1), [], [DeviceKind("", H100)])
    pod = claiming("whole")
    pod["spec"]["resourceClaims"][0]["resourceClaimTemplateName"] = "whole"
    control_plane.apply(whole, pod, namespace=namespace)
    wait_until(lambda: unschedulable(control_plane, "whole", namespace), what="it is refused")
    control_plane.kubectl("delete", "pod", "small", "-n", namespace, "--force", "--grace-period=0")
    assert wait_until(partial(where, "whole", namespace), what="a node for it", within_seconds=120) == cut


def unschedulable(plane: ControlPlane, name: str, namespace: str) -> bool:
    conditions = plane.get("pod", name, "-n", namespace)["status"].get("conditions") or []
    return any(each.get("reason") == "Unschedulable" for each in conditions)

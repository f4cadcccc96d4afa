"""The demo as a story: first what needs no cluster, then a cluster, a fleet, the operator, and its answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from e2e.demo import placement
from e2e.demo.cast import CAST, Part, namespaces
from e2e.demo.programs import EXAMPLES, ROOT, Build, Operator, Simulator, kubectl_path, mfu, mfu_command
from e2e.demo.screen import Screen
from e2e.demo.verdict import Difference, differences, fleet_differences
from e2e.testbed.cluster.client import ClusterAccess
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.waiting import wait_until
from e2e.testbed.tenant_roles import tenant_roles

_TRUTH_WITHIN_SECONDS: Final = 40.0
_STEADY_POLLS: Final = 3
_WITHOUT_A_CLUSTER: Final = (
    ("predict", "-f", "examples/dense-training.yaml"),
    ("predict", "-f", "examples/serving-decode-heavy.yaml"),
    ("replay", "examples/snapshot.json"),
)


def play(screen: Screen, stay: Callable[[], None]) -> int:
    """The whole demo; `stay` is called when everything is shown. 0 only if the operator told the planted truth."""
    with ExitStack() as stack:
        build = Build()
        stack.callback(build.stop)
        if build.start():
            screen.say("building the control plane's programs beside this, once; later runs start in seconds")
        _show_without_cluster(screen)
        build.wait()
        with screen.step("control plane: etcd, kube-apiserver, controller manager, scheduler, KWOK"):
            plane = stack.enter_context(ControlPlane.start(progress=screen.say))
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mfu-demo-")))
        simulator, operator = _start(screen, plane, folder, stack)
        found = _wait_for_truth(screen, plane, simulator, operator)
        _show_answers(screen, plane, found)
        if found and operator.child is not None and not screen.interactive:
            screen.output("tail operator.log", operator.child.log_tail())
        _show_more(screen, plane, operator, folder)
        if screen.interactive:
            stay()
        return 1 if found else 0


def _show_without_cluster(screen: Screen) -> None:
    screen.section("what needs no cluster")
    for arguments in _WITHOUT_A_CLUSTER:
        code, text = mfu(*arguments)
        screen.output(f"mfu {' '.join(arguments)}", text if code == 0 else f"{text}\n(exit code {code})")


def _start(screen: Screen, plane: ControlPlane, folder: Path, stack: ExitStack) -> tuple[Simulator, Operator]:
    simulator = Simulator(folder, plane.kubeconfig)
    operator = Operator(folder, plane.kubeconfig)
    with screen.step("custom resources"):
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        plane.wait_established()
    with screen.step("the chart's roles for tenants, added to view, edit and admin"):
        plane.apply(*tenant_roles())
    with screen.step("simulated fleet: 13 nodes × 8 GPUs of three products, one node cut into MIG slices"):
        stack.callback(simulator.stop)
        endpoint = simulator.start()
    with screen.step("operator"):
        stack.callback(operator.stop)
        operator.start(endpoint)
    with screen.step("one policy and six workloads"):
        apply_cast(plane)
        wait_until(lambda: len(simulator.truth()) == len(CAST), what="six workloads placed by the scheduler")
    with screen.step("one workload twice: spread by the scheduler, and behind our gate until the operator has a place"):
        _apply_pair(plane)
        wait_until(lambda: len(simulator.truth()) == len(CAST) + 2, what="the gated workload placed", within_seconds=60)
    return simulator, operator


def _apply_pair(plane: ClusterAccess) -> None:
    """The first is bound before the second is there, so that it is the scheduler's own choice."""
    name = placement.NAMESPACE
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    wait_until(partial(plane.has_service_account, name), what=f"service account in {name}")
    plane.apply(placement.policy(), placement.declaration(placement.SCATTERED), placement.declaration(placement.PLACED))
    plane.apply(placement.job(placement.SCATTERED, gated=False))

    def bound() -> bool:
        pods = plane.get("pods", "-n", name)["items"]
        return len(pods) == placement.PODS and all(pod["spec"].get("nodeName") for pod in pods)

    wait_until(bound, what="the ungated workload bound")
    plane.apply(placement.job(placement.PLACED, gated=True))


def apply_cast(plane: ClusterAccess) -> None:
    plane.apply(*namespaces())
    for name in sorted({part.namespace for part in CAST}):
        wait_until(partial(plane.has_service_account, name), what=f"service account in {name}")
    policy = yaml.safe_load((EXAMPLES / "policy.yaml").read_text(encoding="utf-8"))
    plane.apply(policy, *(part.manifest() for part in CAST), *(_declaration(part) for part in CAST))


def _declaration(part: Part) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{part.example}.yaml").read_text(encoding="utf-8"))
    document["metadata"]["namespace"] = part.namespace
    return document


def statuses(plane: ClusterAccess) -> dict[str, Any]:
    """Status of every ModelWorkload by `namespace/name`."""
    items = plane.get("modelworkloads", "-A")["items"]
    return {f"{each['metadata']['namespace']}/{each['metadata']['name']}": each.get("status", {}) for each in items}


def _fleet_report(plane: ClusterAccess) -> dict[str, Any]:
    reports = plane.get("fleetreports")["items"]
    found: dict[str, Any] = reports[0].get("status", {}) if reports else {}
    return found


def _wait_for_truth(screen: Screen, plane: ControlPlane, simulator: Simulator, operator: Operator) -> list[Difference]:
    """Until nothing differs for a few polls, or time is up; what differs then."""
    deadline = time.monotonic() + _TRUTH_WITHIN_SECONDS
    agreed, found = 0, []
    with screen.step("telemetry, prediction, diagnosis"):
        while agreed < _STEADY_POLLS and time.monotonic() < deadline:
            plane.raise_if_ended()
            _raise_if_ended(simulator, operator)
            found = placement.without_its_place(differences(statuses(plane), simulator.truth()))
            found += fleet_differences(_fleet_report(plane), simulator.fleet_truth())
            found += _misplaced(plane)
            agreed = 0 if found else agreed + 1
            time.sleep(1.0)
    return found


def _misplaced(plane: ClusterAccess) -> list[Difference]:
    said = placement.problem(placement.runs(plane, {}))
    return [] if said is None else [Difference(placement.PLACED, "place", "one NVLink domain, from our hint", said)]


def _raise_if_ended(simulator: Simulator, operator: Operator) -> None:
    for child in (simulator.child, operator.child):
        if child is not None and child.crashed:
            raise RuntimeError(f"{child.name} ended by itself:\n{child.log_tail()}")


def _show_answers(screen: Screen, plane: ControlPlane, found: list[Difference]) -> None:
    screen.section("what the operator says")
    screen.output("kubectl get mw -A", plane.kubectl("get", "mw", "-A"))
    screen.output("kubectl get fleetreport", plane.kubectl("get", "fleetreport"))
    screen.section("the same workload, spread by the scheduler and placed by the operator's hint")
    for line in placement.lines(placement.runs(plane, statuses(plane))):
        screen.say(line)
    faulty = next(part for part in CAST if "fault" in part.planted)
    arguments = ("explain", faulty.example, "-n", faulty.namespace)
    code, text = mfu(*arguments, kubeconfig=plane.kubeconfig)
    screen.output(f"mfu {' '.join(arguments)}", text if code == 0 else f"{text}\n(exit code {code})")
    if found:
        screen.differences(found)
        return
    screen.say(
        "every observed MFU, the fleet's too, is within 2 points of the planted truth; every cause is the planted one"
        " (of the workload that runs twice, place and MFU are judged alone)"
    )


def _show_more(screen: Screen, plane: ControlPlane, operator: Operator, folder: Path) -> None:
    screen.notes(
        f"look further ({screen.elapsed:.0f} s since the start)",
        [
            f"export KUBECONFIG={plane.kubeconfig}",
            f"alias kubectl={kubectl_path()} mfu={mfu_command()[0]}",
            "kubectl get mw -A -w",
            "kubectl describe mw -n team-vision faulty-training",
            "kubectl get fleetreport fleet -o yaml; mfu report",
            "kubectl explain mw.spec.training",
            "mfu explain serving-decode-heavy -n team-chat",
            f"curl -s http://127.0.0.1:{operator.port}/metrics | grep ^mfu_",
            f"logs: {folder}/operator.log {folder}/sim.log {plane.logs_dir}",
        ],
    )

"""The whole operator as a process of its own, beside a real Kueue."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.testbed.cluster import ControlPlane
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child

ROOT: Final = Path(__file__).parents[2]


@contextmanager
def operating(
    plane: ControlPlane,
    folder: Path,
    *,
    modes: Mapping[str, str],
    action: Mapping[str, Any],
    kueue: Mapping[str, Any],
) -> Iterator[None]:
    """With this one action switched on and listed by a policy of all namespaces; it reads no telemetry."""
    plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
    plane.wait_established()
    spec = {"namespaceSelector": {}, "modes": modes, "actions": [action]}
    plane.apply({"apiVersion": "mfu.gpuaas.io/v1alpha1", "kind": "MFUPolicy", "metadata": {"name": "p"}, "spec": spec})
    (port,) = free_ports(1)
    config = {
        "server": {"host": "127.0.0.1", "port": port},
        "leaderElection": {"namespace": "default"},
        "actions": [action["type"]],
        "kueue": kueue,
        "cycle": {"warmUpSeconds": 2},
        "dcgm": {"urlTemplate": "http://127.0.0.1:9/{node}"},
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    command: list[str | Path] = [sys.executable, "-m", "mfu", "operator", f"--kubeconfig={plane.kubeconfig}"]
    child = Child("operator", [*command, f"--config={file}"], log=plane.logs_dir / "operator.log", home=folder)
    child.start()
    try:
        yield
    finally:
        child.stop()

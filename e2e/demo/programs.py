"""The programs of the demo: commands that end, and the simulator and operator that run beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.demo import placement
from e2e.demo.cast import NODES
from e2e.testbed.cluster.binaries import find
from e2e.testbed.cluster.pins import BINARIES, CONTROL_PLANE
from e2e.testbed.cluster.ports import free_ports
from e2e.testbed.cluster.process import Child, StartFailed, end_group, spawn

ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples"
_COLLECT_SECONDS: Final = 1.0


def _silent(_: str) -> None:
    return


def kubectl_path() -> str:
    """The kubectl to paste into a shell."""
    return str(find(BINARIES["kubectl"], progress=_silent) or "kubectl")


def mfu_command() -> list[str]:
    """How to start `mfu` with this interpreter, installed as a script or not."""
    script = Path(sys.executable).with_name("mfu")
    return [str(script)] if script.exists() else [sys.executable, "-c", "from mfu.cli.main import run; run()"]


def mfu(*arguments: str, kubeconfig: Path | None = None, timeout_seconds: float = 60.0) -> tuple[int, str]:
    """Run one `mfu` command to its end: exit code and what it printed."""
    environment = {**os.environ, "COLUMNS": os.environ.get("COLUMNS", "140")}
    if kubeconfig is not None:
        environment["KUBECONFIG"] = str(kubeconfig)
    done = subprocess.run(
        [*mfu_command(), *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@dataclass(slots=True)
class Build:
    """The control plane's programs, built beside the story where they are missing; a process can be ended."""

    process: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Whether there is anything to build."""
        if all(find(BINARIES[name], progress=_silent) for name in CONTROL_PLANE):
            return False
        self.process = spawn([sys.executable, "-m", "e2e.testbed.cluster", "build"], cwd=ROOT)
        return True

    def wait(self) -> None:
        """Returns when everything is there; raises StartFailed when it could not be built."""
        if self.process is not None and self.process.wait() != 0:
            raise StartFailed("the control plane's programs could not be built; the lines above say why")

    def stop(self) -> None:
        if self.process is not None:
            end_group(self.process, grace_seconds=2.0)


@dataclass(slots=True)
class Simulator:
    """`mfu sim` on a cluster. Its truth file lies in a folder that the operator is not told of."""

    folder: Path
    kubeconfig: Path
    nodes: str = f"{NODES},{placement.NODES}"
    child: Child | None = None

    def start(self) -> str:
        """Returns the endpoint's URL when nodes exist and pods are followed; raises StartFailed."""
        url_file = self.folder / "sim.url"
        command: list[str | Path] = [
            *mfu_command(),
            "sim",
            *("--nodes", self.nodes),
            *("--kubeconfig", self.kubeconfig),
            *("--port", "0"),
            *("--interval", str(_COLLECT_SECONDS)),
            *("--truth-file", self.folder / "truth.json"),
            *("--url-file", url_file),
        ]
        self.child = Child("mfu sim", command, log=self.folder / "sim.log", home=self.folder)
        self.child.start()
        self.child.wait_ready(url_file.exists, within_seconds=30.0)
        return url_file.read_text(encoding="utf-8").strip()

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()

    def truth(self) -> dict[str, Any]:
        """The planted truth by `namespace/owner`."""
        found: dict[str, Any] = self._document().get("workloads", {})
        return found

    def fleet_truth(self) -> dict[str, Any]:
        """The planted truth of the whole fleet."""
        found: dict[str, Any] = self._document()["fleet"]
        return found

    def _document(self) -> dict[str, Any]:
        path = self.folder / "truth.json"
        if not path.exists():
            return {}
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found


@dataclass(slots=True)
class Operator:
    """`mfu operator`, told where the simulator's endpoint is as it would be told of exporters."""

    folder: Path
    kubeconfig: Path
    child: Child | None = None
    port: int = 0

    def start(self, endpoint: str) -> None:
        (self.port,) = free_ports(1)
        config = self.folder / "operator.yaml"
        config.write_text(yaml.safe_dump(operator_config(endpoint, self.port)), encoding="utf-8")
        command: list[str | Path] = [*mfu_command(), "operator", "--kubeconfig", self.kubeconfig, "--config", config]
        self.child = Child("mfu operator", command, log=self.folder / "operator.log", home=self.folder)
        self.child.start()

    def stop(self) -> None:
        if self.child is not None:
            self.child.stop()


def operator_config(endpoint: str, port: int) -> dict[str, Any]:
    """Short intervals, so that windows fill while somebody watches."""
    return {
        "dcgm": {
            "urlTemplate": f"{endpoint}/nodes/{{node}}/metrics",
            "scrapeIntervalSeconds": _COLLECT_SECONDS,
            "collectionIntervalSeconds": _COLLECT_SECONDS,
        },
        "progress": {
            "urlTemplate": f"{endpoint}/pods/{{namespace}}/{{pod}}/metrics",
            "scrapeIntervalSeconds": _COLLECT_SECONDS,
        },
        "cycle": {"idleSeconds": 0.5, "longestWaitSeconds": 2.0, "resyncSeconds": 5.0, "warmUpSeconds": 10.0},
        "server": {"host": "127.0.0.1", "port": port},
        # Off by default: here one policy enforces it in one namespace.
        "actions": ["RequiredAffinity"],
    }

"""`python -m e2e.testbed.cluster build [--helm] [--controllers]` and `python -m e2e.testbed.cluster up [--dir DIR]`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from e2e.testbed.cluster.binaries import BinaryUnavailable, ensure_binaries
from e2e.testbed.cluster.pins import CONTROL_PLANE, CONTROLLERS
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.process import StartFailed


def main(arguments: list[str] | None = None) -> int:
    """0 when done, 1 when a binary or the control plane could not be had, 2 for wrong arguments, 130 when cut off."""
    parsed = _parser().parse_args(arguments)
    try:
        return _build(_wanted(parsed)) if parsed.command == "build" else _up(parsed.dir)
    except (BinaryUnavailable, StartFailed, BlockingIOError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m e2e.testbed.cluster", description="A local Kubernetes control plane."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build the binaries that are not in the cache yet")
    build.add_argument("--helm", action="store_true", help="Helm as well")
    build.add_argument("--controllers", action="store_true", help="Kueue, JobSet, LWS, Trainer and KEDA as well")
    up = commands.add_parser("up", help="run a control plane until Ctrl-C")
    up.add_argument("--dir", type=Path, help="folder for its data and logs; kept, and continued when it exists")
    return parser


def _say(line: str) -> None:
    print(line, flush=True)


def _wanted(parsed: argparse.Namespace) -> tuple[str, ...]:
    return (*CONTROL_PLANE, *(("helm",) if parsed.helm else ()), *(CONTROLLERS if parsed.controllers else ()))


def _build(names: tuple[str, ...]) -> int:
    for name, path in ensure_binaries(names, progress=_say).items():
        _say(f"{name}: {path}")
    return 0


def _up(folder: Path | None) -> int:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    with ControlPlane.start(folder, progress=_say) as plane:
        _say(f"ready; logs in {plane.logs_dir}")
        _say(f"export KUBECONFIG={plane.kubeconfig}")
        while not ended.wait(0.5):
            plane.raise_if_ended()
    return 0


if __name__ == "__main__":
    sys.exit(main())

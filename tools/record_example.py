"""Record examples/snapshot.json anew: the demo's cast on its simulated fleet, as `mfu snapshot` reads it.

`python -m tools.record_example`. The planted levels and their sources stand in e2e/demo/cast.py.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import yaml

from e2e.demo.cast import CAST, NODES
from e2e.demo.programs import EXAMPLES, ROOT, Operator, Simulator, mfu, operator_config
from e2e.demo.story import apply_cast, statuses
from e2e.demo.verdict import differences
from e2e.testbed.cluster.plane import ControlPlane
from e2e.testbed.cluster.waiting import wait_until

SCRAPE_SECONDS, READ_SECONDS = 2.0, 30.0
SETTLED_SECONDS: Final = 45.0
"""Until the operator has written of windows that it saw whole."""


def main() -> int:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="mfu-example-")))
        plane = stack.enter_context(ControlPlane.start())
        plane.kubectl("apply", "--server-side", "-f", str(ROOT / "crds"))
        plane.wait_established()
        simulator, operator = Simulator(folder, plane.kubeconfig, NODES), Operator(folder, plane.kubeconfig)
        stack.callback(simulator.stop)
        endpoint = simulator.start()
        stack.callback(operator.stop)
        operator.start(endpoint)
        apply_cast(plane)
        wait_until(lambda: len(simulator.truth()) == len(CAST), what="six workloads placed by the scheduler")
        time.sleep(SETTLED_SECONDS)
        found = differences(statuses(plane), simulator.truth())
        if found:
            print(*found, sep="\n", file=sys.stderr)
            return 1
        return _saved(plane, endpoint, folder)


def _saved(plane: ControlPlane, endpoint: str, folder: Path) -> int:
    told = operator_config(endpoint, port=0)
    for source in ("dcgm", "progress"):
        told[source]["scrapeIntervalSeconds"] = SCRAPE_SECONDS
    config = folder / "reader.yaml"
    config.write_text(yaml.safe_dump(told), encoding="utf-8")
    asked = ["--seconds", str(READ_SECONDS), "-f", str(EXAMPLES / "snapshot.json"), "--config", str(config)]
    code, text = mfu("snapshot", *asked, kubeconfig=plane.kubeconfig)
    print(text, end="")
    return code


if __name__ == "__main__":
    sys.exit(main())

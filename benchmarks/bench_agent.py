"""What `mfu agent` costs a node at a 1 s sample: processor and resident memory, everything switched on.

    python -m benchmarks.bench_agent                       # eight fake GPUs; rewrites benchmarks/agent.md
    PYTHONPATH=operator:. python3 -m benchmarks.bench_agent --real --json row.json     # the GPUs of this machine

The kubelet is a real gRPC server on a unix socket with 100 pods (skipped where grpcio is not installed) and the API
server a stub; the page is scraped every 15 s. Rows of real GPUs are kept in benchmarks/agent_real.jsonl.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
PORT: Final = 19402
SETTLE_SECONDS: Final = 5.0
SCRAPE_SECONDS: Final = 15.0
PODS: Final = 100
LIMIT_CPU_SHARE, LIMIT_MIB = 0.01, 60.0
AGENT: Final = """
import sys
from pathlib import Path
from mfu.agent.attribution import Attribution
from mfu.agent.node import Node
from mfu.agent.podresources import list_allocations
from mfu.agent.publish import Publisher
from mfu.agent.runtime import Agent
from mfu.cluster.connection import Connection
from mfu.cluster.plain import PlainClient
url, token, kubelet, port = sys.argv[1:]
attribution = Attribution(lambda: list_allocations(Path(kubelet)))
client = PlainClient(Connection(url, None, None, Path(token)))
Agent(Node(), "bench", attribution=attribution, publisher=Publisher(client, "bench")).run("127.0.0.1", int(port))
"""
"""`mfu agent` with a service account's connection, but to the stub: inside a pod no kubeconfig is read either."""


class _ApiServer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer({"metadata": {"name": "bench", "uid": "1"}})

    def do_PATCH(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer({"metadata": {"name": "bench"}})

    def _answer(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Not part of the measurement."""


@contextmanager
def api_server() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _ApiServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@contextmanager
def running(directory: Path, environment: dict[str, str], kubelet: Path) -> Iterator[int]:
    token = directory / "token"
    token.write_text("token")
    with api_server() as url:
        command = [sys.executable, "-c", AGENT, url, str(token), str(kubelet), str(PORT)]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
            try:
                yield process.pid
            finally:
                process.terminate()


def scrape() -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=5) as response:
        body: bytes = response.read()
        return body


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def measure(pid: int, seconds: float) -> dict[str, Any]:
    """Over `seconds`, after the start has settled."""
    time.sleep(SETTLE_SECONDS)
    began, spent = time.monotonic(), cpu_seconds(pid)
    while time.monotonic() - began < seconds:
        page = scrape()
        time.sleep(min(SCRAPE_SECONDS, max(0.0, seconds - (time.monotonic() - began))))
    return {
        "gpus": len(set(re.findall(rb'mfu_gpu_sm_clock_hertz\{uuid="([^"]*)"', page))),
        "pods_known": b'mfu_agent_pod_resources_up{node="bench"} 1' in page,
        "cpu_share": round((cpu_seconds(pid) - spent) / (time.monotonic() - began), 5),
        "rss_mib": round(memory_mib(pid, "VmRSS:"), 1),
        "peak_rss_mib": round(memory_mib(pid, "VmHWM:"), 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def bench(seconds: float, *, real: bool) -> dict[str, Any]:
    """One row."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{os.environ.get('PYTHONPATH', '')}"}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        if not real:
            from tests.agent.fake_nvml.build import build

            build(directory)
            environment |= {"LD_LIBRARY_PATH": str(directory), "FAKE_NVML_GPUS": "8"}
        with kubelet(directory / "kubelet.sock"), running(directory, environment, directory / "kubelet.sock") as pid:
            row = measure(pid, seconds)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return {"what": "real" if real else "fake NVML", "machine": machine, **row}


def kubelet(path: Path) -> Any:
    try:
        from tests.agent.kubelet import serve
    except ImportError:
        return nullcontext()
    devices = [f"GPU-{gpu:08d}-0000-0000-0000-000000000000" for gpu in range(8)]
    return serve(path, [("team", f"pod-{i}", "main", "nvidia.com/gpu", devices[i % 8]) for i in range(PODS)])


def table(rows: list[dict[str, Any]], date: str) -> str:
    head = (
        "| GPUs | machine | seconds | processor (share of a core) | resident MiB | peak MiB | pods by PodResources |\n"
    )
    lines = [_line(row) for row in rows]
    text = (
        "# The node agent's cost\n\nOne sample a second, a scrape every 15 s, GPUNode written, everything switched on "
    )
    text += f"(`python -m benchmarks.bench_agent`, {date}). Limits: 1 % of one core, 60 MiB.\n\n"
    return text + head + "|---|---|---|---|---|---|---|\n" + "".join(lines)


def _line(row: dict[str, Any]) -> str:
    what, pods = row.get("gpu", row["what"]), "yes" if row["pods_known"] else "no"
    share = f"{100 * row['cpu_share']:.2f} %"
    cells = (
        f"{row['gpus']} × {what}",
        row["machine"],
        row["seconds"],
        share,
        row["rss_mib"],
        row["peak_rss_mib"],
        pods,
    )
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--real", action="store_true", help="the machine's own driver and GPUs")
    parser.add_argument("--json", type=Path, help="write the row here, and no table")
    args = parser.parse_args()
    row = bench(args.seconds, real=args.real)
    print(json.dumps(row))
    if args.json:
        args.json.write_text(json.dumps(row) + "\n")
        return 0
    kept = ROOT / "benchmarks" / "agent_real.jsonl"
    real = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    (ROOT / "benchmarks" / "agent.md").write_text(table([row, *real], time.strftime("%Y-%m-%d", time.gmtime())))
    within = row["cpu_share"] < LIMIT_CPU_SHARE and row["rss_mib"] < LIMIT_MIB
    return 0 if within else 1


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())

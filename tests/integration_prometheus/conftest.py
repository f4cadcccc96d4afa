"""A real Prometheus that scrapes a small server of exposition text, for this folder only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from e2e.testbed.prometheus import running
from mfu.telemetry.prometheus.rules import document

DATA = Path(__file__).parents[1] / "telemetry" / "data"
REGIMES = ("legacy", "transition", "new")


@dataclass
class Exporters:
    """One page a regime, on paths of one server. Every page counts on, so that energy grows between scrapes."""

    texts: dict[str, str] = field(default_factory=dict)
    scrapes: int = 0
    stopped: set[str] = field(default_factory=set)

    def page(self, path: str) -> bytes | None:
        regime = path.strip("/").split("/")[0]
        if regime not in self.texts or regime in self.stopped:
            return None
        self.scrapes += 1
        return self.texts[regime].replace("__ENERGY__", f"{91234567120 + 650_000 * self.scrapes}").encode()


@dataclass(frozen=True)
class Running:
    url: str
    exporters: Exporters


def _texts() -> dict[str, str]:
    """Each regime's page under UUIDs and a node of its own, its first GPU's energy growing."""
    texts = {}
    for regime in REGIMES:
        text = (DATA / f"dcgm_{regime}.txt").read_text().replace("GPU-5b1c2a3d", f"GPU-{regime}")
        text = text.replace("gpu-node-01", f"node-{regime}")
        texts[regime] = text.replace(" 91234567120\n", " __ENERGY__\n").replace(" 91234567.120000\n", " __ENERGY__\n")
    return texts


def _config(folder: Path, exporters_port: int) -> Path:
    """Scrapes as the exporter's Helm chart has it: honorLabels false, the exporter's own pod as target labels."""
    job = {
        "job_name": "nvidia-dcgm-exporter",
        "scrape_interval": "1s",
        "honor_labels": False,
        "static_configs": [
            {
                "targets": [f"127.0.0.1:{exporters_port}"],
                "labels": {
                    "__metrics_path__": f"/{regime}/metrics",
                    "instance": f"10.0.0.{number}:9400",
                    "namespace": "gpu-operator",
                    "pod": f"metrics-of-gpus-{number}",
                    "container": "main",
                },
            }
            for number, regime in enumerate(REGIMES)
        ],
    }
    rules = folder / "rules.yaml"
    rules.write_text(document(interval_seconds=1))
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(rules)], "scrape_configs": [job]}))
    return path


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    exporters = Exporters(_texts())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = exporters.page(self.path)
            self.send_response(200 if page is not None else 503)
            self.end_headers()
            self.wfile.write(page or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with running(_config(tmp_path_factory.mktemp("prometheus"), server.server_address[1])) as url:
            yield Running(url, exporters)
    finally:
        server.shutdown()
        server.server_close()

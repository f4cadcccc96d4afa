"""The operator's own metrics page for one workload, and a real Prometheus that scrapes it every second."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from e2e.testbed.prometheus import running
from mfu.controller.metrics import OperatorMetrics
from mfu.decide.replicas.memory import ScalingMemory
from mfu.engine.history.remembered import WorkloadMemory
from mfu.engine.plan import Plan, WorkloadPlan
from mfu.engine.views import NO_STATUS


@dataclass
class Page:
    """What the operator decided last; `replicas` is None while it trusts no reading."""

    namespace: str
    workload: str
    replicas: int | None = 1

    def text(self) -> bytes:
        return generate_latest(OperatorMetrics(self._plan).registry)

    def _plan(self) -> Plan:
        memory = WorkloadMemory(scaled=ScalingMemory(wanted=self.replicas))
        return Plan((WorkloadPlan(self.namespace, self.workload, "uid", NO_STATUS, memory=memory),))


@contextmanager
def scraped(page: Page, folder: Path) -> Iterator[str]:
    """URL of a Prometheus that reads the page every second."""
    with served(page) as target, scraping(target, folder) as url:
        yield url


@contextmanager
def scraping(target: str, folder: Path, *, port: int | None = None) -> Iterator[str]:
    """Likewise of a page that is served there; it looks back ten seconds. A folder used before is continued."""
    jobs = [{"job_name": "mfu", "honor_labels": True, "static_configs": [{"targets": [target]}]}]
    config = folder / "prometheus.yaml"
    config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    with running(config, "--query.lookback-delta=10s", port=port) as url:
        yield url


@contextmanager
def served(page: Page) -> Iterator[str]:
    """Its host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.end_headers()
            self.wfile.write(page.text())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()

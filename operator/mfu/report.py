"""Training progress for mfu, reported from inside the loop. Standard library only: import it, or copy this file.

    from mfu.report import Reporter
    reporter = Reporter(port=9400)                      # serves on rank 0 only; elsewhere it does nothing
    reporter.step(tokens=global_batch * sequence_length, data_wait_seconds=waited)

Give the whole job's tokens (`spec.progress.scope: Total`). A port that is taken is a warning, never a dead job.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Reporter:
    """Counts what the loop says and serves it at every path in the Prometheus text format, from a daemon thread."""

    def __init__(self, port: int = 9400, host: str = "", serve: bool | None = None) -> None:
        self._lock, self._last = threading.Lock(), time.monotonic()
        self._server: ThreadingHTTPServer | None = None
        self._values: dict[str, float] = {"train_steps_total": 0.0}
        if os.environ.get("RANK", "0") == "0" if serve is None else serve:
            self._serve(host, port)

    def step(self, **consumed: float) -> None:
        """After each optimizer step: tokens=, samples=, data_wait_seconds=, communication_wait_seconds=."""
        with self._lock:
            seconds, self._last = time.monotonic() - self._last, time.monotonic()
            grown = {f"train_{name}_total": amount for name, amount in consumed.items()}
            grown |= {"train_steps_total": 1, "train_step_seconds_sum": seconds, "train_step_seconds_count": 1}
            for name, amount in grown.items():
                self._values[name] = self._values.get(name, 0.0) + float(amount)
            self._values["train_last_step_seconds"] = seconds

    def text(self) -> str:
        """What a scrape gets: one `name value` line a counter."""
        with self._lock:
            return "".join(f"{name} {float(value)!r}\n" for name, value in self._values.items())

    def _serve(self, host: str, port: int) -> None:
        try:
            server = ThreadingHTTPServer((host, port), type("Handler", (_Handler,), {"report": self}))
        except OSError as error:
            warnings.warn(f"mfu.report does not serve: port {port}: {error}", stacklevel=3)
            return
        self._server, self.port = server, server.server_address[1]
        threading.Thread(target=server.serve_forever, name="mfu-report", daemon=True).start()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    report: Reporter

    def do_GET(self) -> None:
        body = self.report.text().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A scrape every few seconds is no news."""

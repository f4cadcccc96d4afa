"""Report training progress to mfu from inside the loop. One file, standard library only: import it or copy it.

from report import Reporter            # or: from mfu.report import Reporter
reporter = Reporter(port=9400)         # one per job (rank 0, with totals) or one per rank (scope: PerRank)
reporter.step(tokens=batch * sequence_length, data_wait_seconds=waited)
"""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Reporter:
    """Counts steps, tokens, samples, step time and waits, and serves them at /metrics from a daemon thread."""

    def __init__(self, port=9400, host=""):
        self._lock, self._last = threading.Lock(), time.monotonic()
        self._values = {"train_steps_total": 0, "train_step_seconds_sum": 0.0, "train_step_seconds_count": 0}
        handler = type("Handler", (_Handler,), {"text": self.text})
        self.server = ThreadingHTTPServer((host, port), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, name="mfu-report", daemon=True).start()

    def step(self, tokens=None, samples=None, data_wait_seconds=None, communication_wait_seconds=None):
        """Call once after each optimizer step, with what the step consumed. The first step's time counts from here."""
        now, grown = time.monotonic(), {"train_tokens_total": tokens, "train_samples_total": samples}
        grown["train_data_wait_seconds_total"] = data_wait_seconds
        grown["train_communication_wait_seconds_total"] = communication_wait_seconds
        with self._lock:
            seconds, self._last = now - self._last, now
            grown.update(train_steps_total=1, train_step_seconds_sum=seconds, train_step_seconds_count=1)
            for name, value in grown.items():
                if value is not None:
                    self._values[name] = self._values.get(name, 0) + value
            self._values["train_last_step_seconds"] = seconds

    def text(self):
        with self._lock:
            return "".join(f"{name} {float(value)!r}\n" for name, value in self._values.items())

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.text().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

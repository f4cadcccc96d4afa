"""Any Prometheus-compatible HTTP API as a source, and the recording rules that it is asked for."""

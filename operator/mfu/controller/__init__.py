"""The operator as a process: kopf shell, reconcile loop, collection of telemetry, metrics and health endpoints."""

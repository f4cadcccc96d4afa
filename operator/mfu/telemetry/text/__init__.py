"""Prometheus text read from bytes: samples, the shape of a body, the series of one program."""

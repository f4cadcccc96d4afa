"""Measured speed and memory: each module rewrites its table."""

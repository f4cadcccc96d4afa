"""Predictions against measured rows: pure functions from rows to a report. The command line reads the file."""

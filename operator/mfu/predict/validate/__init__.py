"""Predictions against measured rows: pure functions from rows of a table to a report. The command line reads the file."""

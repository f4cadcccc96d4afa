"""Fits the few constants of the performance model to measured rows."""

"""Planted regressions and quiet days for the search for changes of efficiency."""

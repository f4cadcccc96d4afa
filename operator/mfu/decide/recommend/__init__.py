"""One ranked list of what to do about a workload; every other decision about it agrees with the list."""

"""How fast a workload does run and why not faster: readings → two meters, windows, drift, causes with evidence."""

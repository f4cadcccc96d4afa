"""What outlives a cycle: long windows, drift, efficiency per setting, and what was learned."""

"""How fast a workload should run: step time, tokens/s, MFU with its named losses, memory, and the best layout."""

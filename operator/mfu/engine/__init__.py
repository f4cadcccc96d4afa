"""The pure cycle: a frozen Snapshot in, a Plan out. No clock, network, randomness or logging."""

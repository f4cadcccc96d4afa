"""What needs all workloads at once, over one ledger of free GPUs."""

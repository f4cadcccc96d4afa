"""What one workload alone can answer: admission, replicas, MIG fit."""

"""What two programs keep of their own rate when they share one GPU, time-sliced, under MPS or in MIG slices."""

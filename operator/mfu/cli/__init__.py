"""`mfu …`, also installed as `kubectl-mfu`. Exit codes: 0 done, 1 the answer is no, 2 the input is wrong."""

"""A simulated fleet: nodes, pods, honest DCGM text and workload progress, with faults on demand.

Nothing here may use the performance model for the truth it plants: the operator would be graded by its own formulas.
"""

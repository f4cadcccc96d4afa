"""Runs recorded by the node agent on real GPUs beside a training loop that reports through `mfu.report`."""

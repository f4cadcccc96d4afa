"""mfu: turns Model FLOP Utilization into decisions for GPU clusters. The folder list is the architecture."""

__version__ = "0.1.0"

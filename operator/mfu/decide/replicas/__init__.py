"""How many replicas an inference workload needs: what one carries, what arrives, and what is remembered between."""

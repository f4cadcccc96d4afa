"""The DaemonSet on GPU nodes: NVML and GPM readings, topology, MIG state, health, and whose pods run where.

The only room that imports pynvml. It must stay small on the node, so nothing here imports numpy, pydantic or aiohttp.
"""

"""End-to-end ring: a local control plane, a pod runner, and the user stories that run on them."""

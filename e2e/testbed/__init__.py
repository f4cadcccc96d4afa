"""Stand-ins for a cluster: a real control plane built from Go modules, and a runner of pods without containers."""

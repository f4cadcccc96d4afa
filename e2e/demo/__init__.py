"""The demo: a control plane, a simulated fleet, the operator, and whether it told the truth."""

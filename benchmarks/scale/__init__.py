"""A full fleet on a real API server: objects, exporters, and what is seen of the operator from outside."""

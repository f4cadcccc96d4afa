"""The recent past as bounded arrays."""

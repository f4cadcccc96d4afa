"""dcgm-exporter in all its naming and unit regimes."""

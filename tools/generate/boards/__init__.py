"""One file for each dashboard: its panels, from the glance to the detail."""

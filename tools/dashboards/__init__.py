"""Pictures of the Grafana dashboards: simulated fleets, their hours in a real Prometheus, and the page that draws."""

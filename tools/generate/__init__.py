"""Writes what is generated and committed: definitions, the chart's copies, references, pictures."""

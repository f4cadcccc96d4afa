"""What the GPUs are: products, MIG profiles, links, peaks per precision and measured ceilings; exact names."""

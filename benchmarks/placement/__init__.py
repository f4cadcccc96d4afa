"""Three contenders place the same work on the same fleet: what the fleet is, what the work is, and how it is driven."""

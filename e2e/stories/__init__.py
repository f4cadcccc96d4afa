"""User stories: the operator on a real API server, with a simulated fleet, as a person would run them."""

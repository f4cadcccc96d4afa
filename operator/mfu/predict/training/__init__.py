"""Training: one optimizer step from the operators of a layer up, and the memory of the worst pipeline stage."""

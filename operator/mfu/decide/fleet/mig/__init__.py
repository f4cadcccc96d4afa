"""Which MIG instances each GPU of a node should offer: what can stand beside what, and a layout for those who wait."""

"""Who holds which GPUs where: one workload's, and the fleet's."""

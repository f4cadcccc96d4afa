"""What was found out, said: status, conditions, annotations, events, losses and the fleet's report."""

"""Decision → Action, pure: what the policy's rung allows now, what is on its way, and what is taken back."""

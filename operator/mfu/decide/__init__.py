"""What to do about it: one pure function a policy, each answering with a Decision that carries its reason."""

"""What the model is: architectures, parameters, FLOPs, bytes moved and memory. No hardware speed, no clock."""

"""What already runs, read as a declaration: manifests, arguments, configs, and the habits of engines."""

"""How the constants of the training model come from measured rows: refitted anywhere, with numpy alone."""

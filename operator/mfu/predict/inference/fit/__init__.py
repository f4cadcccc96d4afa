"""How the constants of the serving model come from measured rows: refitted anywhere, with numpy alone."""

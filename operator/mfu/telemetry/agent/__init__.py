"""The node agent's exposition: names and units are ours."""

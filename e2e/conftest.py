"""Fixtures of the user stories."""

pytest_plugins = ["e2e.testbed.cluster.fixtures", "e2e.testbed.rounds"]

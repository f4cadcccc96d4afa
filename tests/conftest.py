"""Fixtures shared by all tests."""

pytest_plugins = ["e2e.testbed.cluster.fixtures", "e2e.testbed.rounds"]

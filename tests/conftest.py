"""Fixtures shared by all tests."""

from hypothesis import settings

pytest_plugins = ["e2e.testbed.cluster.fixtures", "e2e.testbed.rounds"]

# A property is wrong or right however busy the machine is.
settings.register_profile("unhurried", parent=settings(), deadline=None)
settings.load_profile("unhurried")

"""Makes the fixtures with real servers available to all tests."""

pytest_plugins = ["tests.services.fixtures"]

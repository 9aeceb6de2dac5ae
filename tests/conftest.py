"""Makes the fixtures with real servers available to all tests."""

from hypothesis import settings

pytest_plugins = ["tests.services.fixtures"]

settings.register_profile("clickstream", deadline=None)  # on a shared machine one example may take long by chance
settings.load_profile("clickstream")

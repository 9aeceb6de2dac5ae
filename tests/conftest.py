"""Makes the fixtures with real servers, and the mark `alone`, available to all tests."""

from hypothesis import settings

pytest_plugins = ["tests.services.fixtures", "tests.support.alone"]

settings.register_profile("clickstream", deadline=None)  # on a shared machine one example may take long by chance
settings.load_profile("clickstream")

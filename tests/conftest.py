"""Settings of all tests."""

from hypothesis import settings

# No test depends on a timing, so a slow machine must not fail one.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

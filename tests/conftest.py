"""Settings of all tests."""

import signal

from hypothesis import settings

# No test depends on a timing, so a slow machine must not fail one.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# A shell lets what it runs in the background, and all that this starts, ignore these.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

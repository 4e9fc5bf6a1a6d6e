"""Killing real searches at random moments, and looking at what is left. See `__main__`."""

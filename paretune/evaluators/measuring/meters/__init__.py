"""Energy meters: what tells how many joules a device has used.

Empty on purpose: measuring processes load this package, and must stay small.
"""

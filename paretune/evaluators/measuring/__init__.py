"""The measuring protocol: what happens on a device, in a clean process of its own.

It needs Python, numpy and a runtime, and nothing else, so that it fits on any board.

Empty on purpose: measuring processes load this package, and must stay small.
"""

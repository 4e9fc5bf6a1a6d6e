"""Runtimes: what loads a model and runs it. Plugins in the group `paretune.runtimes`.

Empty on purpose: measuring processes load this package, and must stay small.
"""

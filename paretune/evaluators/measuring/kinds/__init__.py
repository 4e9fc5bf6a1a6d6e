"""Kinds of measurements: one module each, with a function `measure(job, workplace, note)`.

Empty on purpose: measuring processes load this package, and must stay small.
"""

"""Solvers: a layer's weights and the second moment of its inputs in, better weights out.

Nothing here knows of graphs, files or choices: arrays in, arrays out.
"""

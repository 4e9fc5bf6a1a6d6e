"""How fast an artifact is on this host: paired with the fp32 model, in a process of its own.

Empty on purpose: the worker process loads this package, and must stay small.
"""

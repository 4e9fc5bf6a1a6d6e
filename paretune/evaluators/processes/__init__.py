"""Child processes that do what may crash, hang or eat all memory.

Empty on purpose: the child processes load this package, and must stay small.
"""

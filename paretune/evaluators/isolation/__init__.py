"""Evaluators in a process of their own: what a candidate does to it costs that candidate only.

Empty on purpose: the evaluating process imports no more of it than it needs.
"""

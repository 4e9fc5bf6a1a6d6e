"""Measuring what a device does with each choice."""

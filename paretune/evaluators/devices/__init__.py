"""Devices: where latency, memory and energy are measured. Plugins in the group `paretune.devices`.

Empty on purpose: a device's own agent loads this package, and must stay small.
"""

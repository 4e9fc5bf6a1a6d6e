"""Benchmarks of Paretune itself. Each compares in one run and prints JSON as its last line."""

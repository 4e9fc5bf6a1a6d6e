"""Ready-to-run searches on real models and data."""

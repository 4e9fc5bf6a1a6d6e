"""A whole night on a cluster, during which parts of it are killed. See `__main__`."""

"""Backends: how a policy becomes an artifact."""

from paretune.search.backends.backend import Backend, Prepared

__all__ = ["Backend", "Prepared"]

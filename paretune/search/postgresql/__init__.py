"""Studies in a PostgreSQL database."""

from paretune.search.postgresql.database import Database

__all__ = ["Database"]

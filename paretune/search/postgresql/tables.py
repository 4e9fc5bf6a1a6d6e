"""Optuna's tables in a database."""

import psycopg
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from paretune.errors import UserError
from paretune.search.postgresql.link import Link
from paretune.search.samplers import hush_optuna


def make_tables(link: Link) -> None:
    """Make Optuna's tables, or check that they are those of this Optuna.

    Raises:
        UserError: the database does not let us, or they are of another version.
    """
    hush_optuna()
    kwargs = {"creator": link.plain, "poolclass": NullPool}

    def make(connection: psycopg.Connection) -> None:
        # Two studies that begin at the same moment would both make them.
        connection.execute("SELECT pg_advisory_lock(hashtextextended('paretune.tables', 0))")
        try:
            RDBStorage("postgresql+psycopg://", engine_kwargs=kwargs)
        finally:
            connection.execute("SELECT pg_advisory_unlock(hashtextextended('paretune.tables', 0))")

    try:
        link.run(make)
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        raise UserError(link.unusable(cause)) from None
    except RuntimeError as error:
        # It names both versions of Optuna, and how to upgrade the tables.
        raise UserError(link.unusable(error)) from None

"""The extra `cluster`: whether Dask is there, and what it may say."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from paretune.errors import UserError

_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado")
"""Dask gives each of them a level, and a handler that prints."""


def require_dask() -> None:
    """See that the extra is installed.

    Raises:
        UserError: it is not.
    """
    try:
        import cryptography
        import distributed
    except ImportError as error:
        raise UserError(
            f"a cluster needs the extra 'cluster' ({error}): pip install 'paretune[cluster]'"
        ) from None
    del cryptography, distributed


@contextmanager
def dask_says_only(level: int) -> Iterator[None]:
    """Keep what Dask logs below a level from the terminal.

    It reports every worker that comes or goes, and at its end whatever happens to be unfinished.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, found in zip(loggers, before, strict=True):
            logger.setLevel(found)

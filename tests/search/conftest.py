"""Fixtures of all tests of the search."""

from collections.abc import Iterator

import pytest

from experiments.benchmarks.postgresql import MISSING, Server, programs, running_server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server, one for each process of tests."""
    if programs() is None:
        pytest.skip(MISSING)
    with running_server() as server:
        yield server

"""Which cores are whose."""

import os
from collections.abc import Set

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.errors import UserError
from paretune.search.cluster.cores import (
    allowed_cores,
    read_cores,
    running_on,
    share_cores,
    siblings,
    split_cores,
    without,
)

MACHINES = st.sets(st.integers(0, 255), min_size=1, max_size=128).map(sorted)


def alone(core: int) -> Set[int]:
    return {core}


def pairs(core: int) -> Set[int]:
    """A machine of eight cores, whose hyper-threads are eight numbers apart."""
    return {core % 8, core % 8 + 8}


@given(MACHINES, st.integers(0, 130))
def test_the_last_cores_are_kept_for_devices(machine: list[int], reserved: int) -> None:
    left, kept = split_cores(machine, reserved, alone)
    assert [*left, *kept] == machine
    assert len(kept) == min(reserved, len(machine))


@given(MACHINES, st.data())
def test_every_core_is_one_workers(machine: list[int], data: st.DataObject) -> None:
    workers = data.draw(st.integers(1, len(machine)))
    shares = share_cores(machine, workers)
    assert [core for share in shares for core in share] == machine
    sizes = {len(share) for share in shares}
    assert len(shares) == workers
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


def test_hyper_threads_of_a_kept_core_stay_idle() -> None:
    left, kept = split_cores(range(16), 2, pairs)
    assert kept == (14, 15)
    assert left == (0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13)
    assert without(range(4), [12, 3], pairs) == (0, 1, 2)


def test_hyper_threads_are_used_where_there_is_nothing_else() -> None:
    assert split_cores([0, 8], 1, pairs) == ((0,), (8,))


@pytest.mark.parametrize(
    ("cores", "workers", "shares"),
    [
        ([0, 1], 1, ((0, 1),)),
        ([0, 1], 2, ((0,), (1,))),
        ([0, 1], None, ((0,), (1,))),
        ([2, 3, 5, 7, 11], 2, ((2, 3, 5), (7, 11))),
        (range(8), 3, ((0, 1, 2), (3, 4, 5), (6, 7))),
    ],
)
def test_shares(cores: list[int], workers: int | None, shares: tuple[tuple[int, ...], ...]) -> None:
    assert share_cores(cores, workers) == shares


@pytest.mark.parametrize(
    ("cores", "workers", "kept", "message"),
    [
        ([0, 1], 3, [], "3 workers .* this machine has 2 for workers; allowed here: at most 2"),
        ([0], 2, [1], "has 1 for workers, beside 1 that a device of this search measures on"),
        ([], None, [0], "1 worker cannot run here.* has 0 for workers, .*; allowed here: none"),
    ],
)
def test_more_workers_than_cores(
    cores: list[int], workers: int | None, kept: list[int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        share_cores(cores, workers, kept)


def test_linux_spells_sets_of_cores() -> None:
    assert read_cores("0\n") == {0}
    assert read_cores("0,8") == {0, 8}
    assert read_cores("0-2,16-17,31\n") == {0, 1, 2, 16, 17, 31}


def test_this_machine() -> None:
    cores = allowed_cores()
    assert cores == tuple(sorted(os.sched_getaffinity(0)))
    assert all(core in siblings(core) for core in cores)
    assert siblings(9999) == {9999}


def test_a_thread_is_kept_to_some_cores_for_a_while() -> None:
    before = os.sched_getaffinity(0)
    first = min(before)
    with running_on([first]):
        assert os.sched_getaffinity(0) == {first}
    assert os.sched_getaffinity(0) == before

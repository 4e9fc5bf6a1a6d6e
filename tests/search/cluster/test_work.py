"""What a worker does before its first job."""

import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from paretune.errors import UserError
from paretune.evaluators.measuring.conditions import machine_id
from paretune.search.cluster import work
from paretune.search.cluster.cores import allowed_cores
from paretune.search.cluster.work import KitWorkplace


class Opened(Exception):
    """It is ready to open the workbench."""


def opened_on(monkeypatch: pytest.MonkeyPatch, machine: str, kept: tuple[int, ...]) -> set[int]:
    """The cores that a worker's thread may use when it opens its workbench."""

    def unpack(kit: object) -> None:
        raise Opened(os.sched_getaffinity(0))

    monkeypatch.setattr(work, "unpack", unpack)
    kit: Any = SimpleNamespace(id="kit", source=SimpleNamespace(machine=machine))
    worker: Any = None
    place = KitWorkplace(kit, kept)
    place.setup(worker)
    try:
        with ThreadPoolExecutor(1) as thread, pytest.raises(Opened) as opened:
            thread.submit(place.open).result()
    finally:
        place.teardown(worker)
    cores: set[int] = opened.value.args[0]
    return cores


def test_a_worker_that_was_there_first_keeps_off_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores = allowed_cores()
    if len(cores) < 2:
        pytest.skip("one core only")
    here, kept = machine_id(), cores[-1:]
    assert not opened_on(monkeypatch, here, kept) & {*kept}
    assert opened_on(monkeypatch, here, ()) == {*cores}
    assert opened_on(monkeypatch, "another", kept) == {*cores}


def test_a_worker_that_has_no_other_core_takes_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="only where a device of this search measures"):
        opened_on(monkeypatch, machine_id(), allowed_cores())

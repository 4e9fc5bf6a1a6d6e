"""A journal as searches write it, and what an editor or a bad disk may make of it."""

import copy
import json
import re
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from paretune.search.constraint import Constraint
from paretune.search.journal import JOURNAL
from paretune.search.store import StudyStore
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Precision
from tests.fuzz.mutating import NUMBERS, mutated_bytes
from tests.search.fake import figures, make_info, make_space


@cache
def journal() -> bytes:
    """A study with trials of all kinds, some of which were confirmed and tested."""
    info = make_info((Constraint("accuracy", ">=", 0.5), Constraint("size_bytes", "<=", 123456789)))
    space = make_space()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with StudyStore.create(folder, info) as store:
            for precision in (Precision.FP32, Precision.INT8, Precision.W4):
                policy = space.uniform(precision)
                seconds = {"apply": 0.25, "total": 1.0}
                trial = Trial(-1, TrialStatus.COMPLETE, policy, figures(policy), seconds=seconds)
                store.record(trial, {"generation": 1})
                for status in (TrialStatus.INFEASIBLE, TrialStatus.FAILED):
                    ended = replace(trial, status=status, measurements={}, reason="why not")
                    store.record(ended)
            store.set_confirmed(0, figures(space.uniform(Precision.FP32)))
            store.set_test(0, figures(space.uniform(Precision.FP32), "test"))
            store.set_hypervolume_reference((1.0, 2.0))
        # The same in every process, so that what fails can be repeated.
        written = (folder / JOURNAL).read_bytes()
        return re.sub(rb'"worker_id": "[^"]*"', b'"worker_id": "w"', written)


def mutated_journal(rng: Random) -> bytes:
    """Its bytes mutated, or the values that its lines hold."""
    if rng.random() < 0.3:
        return mutated_bytes(journal(), rng, [b"\0" * 512, b"\n", b"null\n", b"[]\n", b"{}\n"])
    lines = [json.loads(line) for line in journal().splitlines()]
    for _ in range(rng.choice([1, 1, 2])):
        index = rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                del lines[index]
            case 1:
                lines.insert(index, copy.deepcopy(rng.choice(lines)))
            case 2:
                rng.shuffle(lines)
            case _:
                lines[index] = _changed(lines[index], rng)
        if not lines:
            break
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _changed(line: Any, rng: Random) -> Any:
    """One value of a line replaced or removed; texts that are JSON are looked into."""
    holder = {"": line}
    places: list[tuple[Any, Any]] = []
    pending: list[Any] = [holder]
    while pending:
        one = pending.pop()
        for key in list(one) if isinstance(one, dict) else range(len(one)):
            places.append((one, key))
            if isinstance(one[key], dict | list):
                pending.append(one[key])
    parent, key = rng.choice(places)
    value = parent[key]
    if isinstance(value, str) and value.startswith("{") and rng.random() < 0.8:
        parent[key] = json.dumps(_changed(json.loads(value), rng))
    elif rng.random() < 0.2:
        del parent[key]
    else:
        parent[key] = _other(value, rng)
    return holder.get("")


def _other(value: Any, rng: Random) -> Any:
    return rng.choice(
        [
            rng.choice([None, True, "", "x", "[red]", "{}", "é" * 9, "int8+channel:2"]),
            rng.choice([*NUMBERS, 10**400, 0.5, -1.5, 1e308, float("nan"), float("-inf")]),
            rng.choice([[], {}, [value], {"value": value}, [[[]]], {"": None}]),
            str(value),
        ]
    )

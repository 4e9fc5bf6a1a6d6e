"""Whether two measurements may be compared."""

import json
from typing import Any

import pytest

from paretune.evaluators import Measurement
from paretune.evaluators.comparable import difference


def taken(**conditions: Any) -> Measurement:
    return Measurement(1.0, conditions=conditions)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (taken(), taken(), ""),
        (taken(host="a", threads=1), taken(threads=1, host="a"), ""),
        (taken(threads=1), taken(threads=2), "threads was 1, is now 2"),
        (
            taken(runtime="1.31", host="a", threads=1),
            taken(runtime="1.32", host="a", threads=2),
            "runtime was 1.31, is now 1.32, threads was 1, is now 2",
        ),
        # What is not known is not equal.
        (taken(threads=1), taken(threads=1, host="a"), "host was not told, is now a"),
        (taken(governor="powersave"), taken(), "governor was powersave, is now not told"),
        (
            taken(options={"a": [1]}),
            taken(options={"a": [2]}),
            "options was {'a': [1]}, is now {'a'",
        ),
        (taken(x=None), taken(), "x was None, is now not told"),
        # Studies of earlier versions.
        (taken(blocks=7, runs_per_block=3), taken(blocks=9, runs_per_block=2), ""),
    ],
)
def test_what_differs_is_named(before: Measurement, now: Measurement, expected: str) -> None:
    found = difference(before, now)
    assert found.startswith(expected)
    assert bool(found) == bool(expected)
    assert bool(difference(now, before)) == bool(expected)


def test_values_do_not_matter() -> None:
    assert not difference(Measurement(1.0, 0.9, 1.1), Measurement(2.0, flags=("disturbed",)))


def test_what_is_read_back_is_comparable_with_what_was_written() -> None:
    fresh = taken(cpus=(0, 1), options={"a": (1, 2)}, threads=1)
    stored = Measurement.from_dict(json.loads(json.dumps(fresh.to_dict())))
    assert not difference(stored, fresh)
    assert difference(stored, taken(cpus=(0,), options={"a": (1, 2)}, threads=1))

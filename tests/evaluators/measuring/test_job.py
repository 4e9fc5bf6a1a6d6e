"""Jobs and results round trip through JSON; anything else is refused, whatever it is."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.evaluators.measuring.job import Job, Kind, Limits, Setup
from paretune.evaluators.measuring.result import Estimate, Result

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=3)
SETUPS = st.builds(
    Setup,
    st.text(),
    OBJECTS,
    st.integers(1, 99),
    st.none() | st.lists(st.integers(0, 99), min_size=1).map(tuple),
)
LIMITS = st.builds(Limits, st.floats(0.001, 1e6), st.none() | st.integers(1))
JOBS = st.builds(
    Job,
    st.sampled_from(get_args(Kind)),
    SETUPS,
    st.dictionaries(st.text(), st.text(), max_size=3),
    OBJECTS,
    LIMITS,
)
ESTIMATES = st.builds(Estimate, *[st.floats(allow_nan=False)] * 3)
RESULTS = st.builds(
    Result,
    st.dictionaries(st.text(), ESTIMATES, max_size=3),
    OBJECTS,
    OBJECTS,
    st.lists(st.text(), max_size=3).map(tuple),
)
SAMPLE = Job("load", Setup(), {"model": "a"}, {}, Limits(1)).to_dict()


@given(JOBS)
def test_jobs_round_trip(job: Job) -> None:
    assert Job.from_dict(json.loads(json.dumps(job.to_dict()))) == job


@given(RESULTS)
def test_results_round_trip(result: Result) -> None:
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result


@given(JSON)
def test_other_json_is_no_job(data: Any) -> None:
    with pytest.raises(ValueError, match="no job"):
        Job.from_dict(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kind", "os"),
        ("kind", ["load"]),
        ("kind", None),
        ("setup", {}),
        ("setup.threads", 0),
        ("setup.threads", True),
        ("setup.threads", "2"),
        ("setup.runtime", 1),
        ("setup.options", []),
        ("setup.cpus", []),
        ("setup.cpus", "01"),
        ("setup.cpus", [-1]),
        ("setup.cpus", [0.5]),
        ("setup.more", 1),
        ("files", {"model": 1}),
        ("files", ["a"]),
        ("options", None),
        ("limits.seconds", 0),
        ("limits.seconds", -1),
        ("limits.seconds", float("nan")),
        ("limits.seconds", float("inf")),
        ("limits.seconds", 1e9),
        ("limits.seconds", "60"),
        ("limits.memory", 0),
        ("limits.memory", 1.5),
        ("limits.memory", "1G"),
        ("more", 1),
    ],
)
def test_every_field_is_checked(path: str, value: Any) -> None:
    data = json.loads(json.dumps(SAMPLE))
    assert Job.from_dict(data).to_dict() == SAMPLE
    *parents, name = path.split(".")
    place = data
    for parent in parents:
        place = place[parent]
    place[name] = value
    with pytest.raises(ValueError, match="no job"):
        Job.from_dict(data)

"""What a client may ask for, and what it may not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.evaluators.devices.agent.requests import Allowance, read_request
from paretune.evaluators.measuring.job import Job, Limits, Setup

ID = "0123456789abcdef" * 2
HASH = "ab" * 32
ALLOWANCE = Allowance(("onnxruntime",), (2, 3), 600.0, 1 << 30, "/board/sys")
JOB = Job(
    "latency",
    Setup("onnxruntime", {"session": {"x": "1"}}, 2, (2, 3)),
    {"model": HASH, "inputs": HASH, "reference": HASH},
    {"target": 0.01},
    Limits(60.0, 1 << 20),
)


def body(**changes: Any) -> bytes:
    """A request; `setup__threads=9` changes the setup's threads."""
    request: dict[str, Any] = {"id": ID, "job": JOB.to_dict()}
    for place, value in changes.items():
        *parents, key = place.split("__")
        target = request if parents == ["top"] else request["job"]
        for parent in parents:
            target = target if parent == "top" else target[parent]
        target[key] = value
    return json.dumps(request).encode()


def test_a_job_is_read() -> None:
    assert read_request(body(), ALLOWANCE) == (ID, JOB)


def test_limits_are_cut_to_what_the_device_gives() -> None:
    _, job = read_request(body(limits__seconds=1e5, limits__memory=1 << 40), ALLOWANCE)
    assert job.limits == Limits(600.0, 1 << 30)
    _, job = read_request(body(limits__memory=None), ALLOWANCE)
    assert job.limits.memory == 1 << 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top__id": "../../etc"}, "'id' must be 32 lower-case hex digits, but got '../../etc'"),
        ({"top__id": 5}, "'id' must be"),
        ({"top__id": ID.upper()}, "'id' must be"),
        ({"top__id": ID + "\n"}, "'id' must be"),
        ({"top__more": 1}, "the body must be"),
        ({"kind": "../latency"}, "'kind' is '../latency'"),
        ({"kind": ["latency"]}, "'kind' is"),
        ({"kind": "os"}, "'kind' is 'os'"),
        ({"files": {"model": HASH}}, "there is no 'inputs'"),
        ({"files": {"inputs": HASH}}, "there is no 'model'"),
        ({"files__mode": HASH}, "unknown role 'mode'; nearest is 'model'"),
        ({"files__../x": HASH}, "unknown role '../x'"),
        ({"files__model": "/etc/passwd"}, "must be a SHA-256 in hex digits, but got '/etc/passwd'"),
        ({"files__model": HASH + "/../x"}, "must be a SHA-256"),
        ({"files__model": HASH + "\n"}, "must be a SHA-256"),
        ({"files__model": HASH.upper()}, "must be a SHA-256"),
        ({"files__model": None}, "'files' is"),
        ({"setup__runtime": "onnxruntme"}, "'onnxruntme' is not installed here; nearest is 'onnx"),
        ({"setup__runtime": "../../x"}, "'../../x' is not installed here"),
        ({"setup__cpus": [0]}, "there is no CPU 0; allowed are 2, 3"),
        ({"setup__cpus": [3]}, "'setup.threads' must be from 1 to 1, but got 2"),
        ({"setup__threads": 3, "setup__cpus": None}, "must be from 1 to 2, but got 3"),
        ({"setup__threads": 0}, "'threads' is 0"),
        ({"setup__threads": True}, "'threads' is True"),
        ({"setup__options": {"cache": "/tmp/x"}}, "'/tmp/x' looks like a path"),
        ({"setup__options": {"a": [{"b": "..\\x"}]}}, "looks like a path"),
        ({"setup__options": {"../x": 1}}, "looks like a path"),
        ({"setup__options": {"cache": ".."}}, "looks like a path"),
        ({"setup__options": []}, "'options' is"),
        ({"kind": "energy", "options": {"root": "/etc"}}, "must be '/board/sys' here"),
        ({"limits__seconds": 0}, "'seconds' is 0"),
        ({"limits__seconds": "60"}, "'seconds' is '60'"),
        ({"limits__memory": -1}, "'memory' is -1"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as raised:
        read_request(body(**changes), ALLOWANCE)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"{", "no JSON"),
        (b"[]", "the body must be"),
        (b"null", "the body must be"),
        (body().replace(b"60.0", b"NaN"), "no JSON"),
        (body().replace(b"60.0", b"Infinity"), "no JSON"),
        (body().replace(b"60.0", b"1e999"), "no JSON"),
        (body().replace(b"60.0", b"9" * 5000), "no JSON"),
        (body().replace(b'"onnxruntime"', rb'"\ud800"'), "no JSON"),
        (b"[" * 100_000, "levels deep"),
        (b"[" * 20 + b"]" * 20, "levels deep"),
    ],
)
def test_bodies_that_are_no_request(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_request(text, ALLOWANCE)


def test_energy_meters_are_looked_for_where_the_agent_says() -> None:
    for options in ({}, {"root": "/sys"}, {"root": "/board/sys"}):
        _, job = read_request(body(kind="energy", options=options), ALLOWANCE)
        assert job.options["root"] == "/board/sys"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
PLACES = st.sampled_from(
    "top__id top__job kind setup setup__runtime setup__options setup__threads setup__cpus files"
    " files__model options limits limits__seconds limits__memory".split()
)


@given(place=PLACES, value=VALUES)
def test_whatever_stands_there_is_taken_or_refused(place: str, value: Any) -> None:
    try:
        _, job = read_request(body(**{place: value}), ALLOWANCE)
    except ValueError:
        return
    assert set(job.setup.cpus or ()) <= set(ALLOWANCE.cpus)
    assert 1 <= job.setup.threads <= len(ALLOWANCE.cpus)
    assert 0 < job.limits.seconds <= ALLOWANCE.seconds
    assert job.limits.memory is not None
    assert 0 < job.limits.memory <= ALLOWANCE.memory
    assert job.files["model"] == HASH


@given(text=st.binary(max_size=200))
def test_random_bytes_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_request(text, ALLOWANCE)

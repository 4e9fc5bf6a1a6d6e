"""Which versions must be the same on all machines."""

import re

import pytest

from paretune.errors import UserError
from paretune.search.cluster.versions import TALKING, installed, reported, require_alike


def test_what_is_installed_is_alike() -> None:
    here = installed()
    assert here["python"]
    assert here["paretune"]
    require_alike(here, dict(here), "it")


def test_what_dask_tells_is_read() -> None:
    told = {"python": "3.12.4.final.0", "paretune": "1", "numpy": "2", "onnx": None}
    found = reported(told)
    assert found["python"] == "3.12"
    assert found["paretune"] == "1"
    assert found["onnx"] is None
    assert "numpy" not in found


def test_differences_are_named() -> None:
    here = {**installed(), "onnxruntime": "1.31"}
    there = {**here, "onnxruntime": "1.30", "onnx": None}
    message = (
        f"the worker at x cannot work for this search, its versions differ: onnx is missing instead"
        f" of {here['onnx']}, onnxruntime 1.30 instead of 1.31; install"
    )
    with pytest.raises(UserError, match=re.escape(message)):
        require_alike(here, there, "the worker at x")
    require_alike(here, there, "a scheduler runs no model", TALKING)


def test_a_machine_that_tells_nothing() -> None:
    with pytest.raises(UserError, match="python unknown instead of"):
        require_alike(installed(), reported({}), "it")

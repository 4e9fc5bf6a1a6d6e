"""The hash of the data changes with anything in it, and with nothing else."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paretune.evaluators import Batch, Splits, fingerprint

X = np.arange(6, dtype=np.float32).reshape(3, 2)


def of(**changes: Any) -> str:
    inputs = changes.pop("inputs", {"x": X, "z": X + 1})
    batch = Batch(inputs, changes.pop("targets", np.arange(3)))
    parts: dict[str, Any] = {"calibration": [batch], "search": [batch], "test": [batch]}
    return fingerprint(Splits(**{**parts, **changes}))


def test_equal_data_equal_hash() -> None:
    assert of() == of(inputs={"z": (X + 1).copy(), "x": np.asfortranarray(X)})
    assert len(of()) == 64


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": {"x": X, "y": X + 1}},
        {"inputs": {"x": X + 1, "z": X}},
        {"inputs": {"x": X.astype(np.float64), "z": X + 1}},
        {"inputs": {"x": X.reshape(3, 1, 2), "z": X + 1}},
        {"targets": None},
        {"targets": np.arange(3)[::-1]},
        {"targets": np.array(["a", "b", "c"])},
        {"search": []},
        {"search": [Batch({"x": X[:1]}), Batch({"x": X[1:]})]},
    ],
)
def test_any_change_changes_the_hash(changes: dict[str, Any]) -> None:
    assert of(**changes) != of()


def test_objects_are_hashed_by_value() -> None:
    first = np.array(["one", "a longer text"], dtype=object)
    second = np.array(["one", "".join(["a longer", " text"])], dtype=object)
    assert of(targets=first) == of(targets=second)
    assert of(targets=first) != of(targets=first[::-1])


@given(hnp.arrays(np.int32, hnp.array_shapes(max_dims=3, max_side=4)), st.integers(0, 10**6))
def test_one_value_changes_the_hash(array: Any, where: int) -> None:
    changed = array.copy()
    changed.flat[where % array.size] ^= 1
    assert of(inputs={"x": array}) != of(inputs={"x": changed})

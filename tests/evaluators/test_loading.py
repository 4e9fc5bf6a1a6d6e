"""What a user's data function may return."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretune.errors import UserError
from paretune.evaluators import Batch, Splits, as_splits, load_splits

X = np.ones((4, 2), np.float32)
Y = np.arange(4)


def test_loads_by_spelling_with_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
import numpy as np
from paretune.evaluators import Splits, from_arrays

def splits(count, spec="default"):
    batches = from_arrays({"x": np.zeros((count, 2))}, batch_size=2)
    return Splits(batches, batches[:1], iter(batches))

def fails():
    raise FileNotFoundError("train.csv")
"""
    (tmp_path / "some_data.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    splits = load_splits("some_data:splits", count=5, spec="own")
    assert [len(s) for s in (splits.calibration, splits.search, splits.test)] == [3, 1, 3]
    with pytest.raises(
        UserError, match=r"data: some_data:fails raised FileNotFoundError: train.csv"
    ):
        load_splits("some_data:fails")
    with pytest.raises(UserError, match="unexpected keyword argument 'size'"):
        load_splits("some_data:splits", size=3)


def test_all_forms_of_a_split_become_batches() -> None:
    def stream() -> Iterator[Batch]:
        yield Batch({"x": X})
        yield Batch({"x": X})

    splits = as_splits(
        {
            "calibration": stream(),
            "search": Batch({"x": X}, Y),
            "test": [({"x": X.tolist()}, Y.tolist()), {"x": X}],
        }
    )
    assert [b.size for b in splits.calibration] == [4, 4]
    np.testing.assert_array_equal(splits.search[0].targets, Y)
    assert isinstance(splits.test[0].inputs["x"], np.ndarray)
    np.testing.assert_array_equal(splits.test[0].targets, Y)
    assert splits.test[1].targets is None
    # A stream is read once and kept: it must be there the second time.
    assert len(list(splits.calibration)) == len(list(splits.calibration)) == 2


def test_splits_pass_through() -> None:
    batch = Batch({"x": X}, Y)
    assert as_splits(Splits([batch], [batch], [batch])).test[0].size == 4


ONE = [Batch({"x": X})]


def explode() -> Iterator[Batch]:
    yield ONE[0]
    raise OSError("disk gone")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "must return Splits or a mapping .* but got NoneType"),
        ({"calibration": ONE, "search": ONE}, "the split 'test' is missing"),
        ({"calibration": ONE, "search": None, "test": ONE}, "the split 'search' is missing"),
        (
            {"calibration": ONE, "search": ONE, "test": ONE, "valid": ONE},
            "unknown split 'valid'; allowed are calibration, search, test",
        ),
        ({"calibration": 3, "search": ONE, "test": ONE}, "'calibration' must be a Batch or a seq"),
        ({"calibration": ONE, "search": [X], "test": ONE}, "batch 0 of 'search' must be .*ndarray"),
        ({"calibration": ONE, "search": [(X, Y)], "test": ONE}, "batch 0 of 'search' must be"),
        ({"calibration": explode(), "search": ONE, "test": ONE}, "reading .* raised OSError: disk"),
    ],
)
def test_other_forms_are_refused(data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_splits(data)

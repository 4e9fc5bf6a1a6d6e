"""Data that processes share: the same values, mapped, and no file is left behind."""

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from paretune.errors import UserError
from paretune.evaluators import Batch, Splits, fingerprint, from_arrays
from paretune.evaluators.isolation.spool import MappedSplits, Spool, mapped

DTYPES = ("f4", "f8", "i1", "?", "u2", "U3", "S2", "M8[s]", "c8")
ARRAYS = hnp.arrays(
    st.sampled_from(DTYPES).map(np.dtype), hnp.array_shapes(min_dims=1, min_side=0, max_side=4)
)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def splits_of(*arrays: NDArray[Any]) -> Splits:
    batches = [Batch({"x": array}, array) for array in arrays]
    return Splits(batches, batches[:1], [])


@given(st.lists(ARRAYS, max_size=4))
def test_the_values_stay_here_and_elsewhere(
    tmp_path_factory: pytest.TempPathFactory, arrays: list[NDArray[Any]]
) -> None:
    given = splits_of(*arrays)
    with Spool(tmp_path_factory.mktemp("study")) as spool:
        kept = spool.keep(given)
        there = pickle.loads(pickle.dumps(kept))
    for splits in (kept, there):
        assert fingerprint(splits) == fingerprint(given)
        for batch, array in zip(splits.calibration, arrays, strict=True):
            assert batch.inputs["x"].dtype == array.dtype
            np.testing.assert_array_equal(batch.inputs["x"], array)


def test_arrays_in_another_order_and_of_objects(tmp_path: Path) -> None:
    across = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    words = np.array([["a"], "b", datetime(2026, 1, 1)], dtype=object)
    record = np.array([(1, 2.5)], dtype=[("n", "i4"), ("x", "f8")])
    given = Splits([Batch({"x": across[::2, ::-1]})], [Batch({"x": across.T}, words)], [])
    with Spool(tmp_path) as spool:
        there = pickle.loads(pickle.dumps(spool.keep(given)))
    np.testing.assert_array_equal(there.calibration[0].inputs["x"], across[::2, ::-1])
    np.testing.assert_array_equal(there.search[0].inputs["x"], across.T)
    assert list(there.search[0].targets) == list(words)
    assert there.search[0].inputs["x"].flags.c_contiguous
    with Spool(tmp_path) as spool:
        np.testing.assert_array_equal(spool.keep(splits_of(record)).search[0].targets, record)


def test_the_data_is_written_once_and_travels_light(tmp_path: Path) -> None:
    images = np.zeros((1000, 64), np.float32)
    batches = from_arrays({"x": images}, batch_size=100)
    with Spool(tmp_path) as spool:
        kept = spool.keep(Splits(batches, batches, batches))
        (file,) = tmp_path.iterdir()
        assert file.stat().st_size == images.nbytes
        assert len(pickle.dumps(kept)) < images.nbytes / 20
        with pytest.raises(ValueError, match="read-only"):
            kept.search[0].inputs["x"][0, 0] = 1
    assert files(tmp_path) == []


def test_splits_in_a_file_stay_there_and_are_the_same_in_a_copy(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with Spool(tmp_path) as spool, Spool(tmp_path / "other") as other:
        kept = spool.keep(splits_of(np.arange(9.0), np.ones((2, 3))))
        assert isinstance(kept, MappedSplits)
        assert other.keep(kept) is kept
        copy = tmp_path / "copy"
        copy.write_bytes(kept.layout.path.read_bytes())
        there = mapped(replace(kept.layout, path=copy))
    assert fingerprint(there) == fingerprint(kept)
    # Its file is gone by now.
    with Spool(tmp_path) as spool:
        again = spool.keep(kept)
        assert fingerprint(pickle.loads(pickle.dumps(again))) == fingerprint(there)


def test_a_killed_process_leaves_nothing_for_long(tmp_path: Path) -> None:
    code = (
        "import os, sys, numpy as np; from pathlib import Path;"
        " from paretune.evaluators import Batch, Splits;"
        " from paretune.evaluators.isolation.spool import Spool;"
        " spool = Spool(Path(sys.argv[1]));"
        " spool.keep(Splits([Batch({'x': np.ones(9)})], [], []));"
        f" os.kill(os.getpid(), {int(signal.SIGKILL)})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = files(tmp_path)
    with Spool(tmp_path) as first:
        (own,) = files(tmp_path)
        assert own != left
        # That of a process that is alive is not touched.
        with Spool(tmp_path) as second:
            assert len(files(tmp_path)) == 2
            assert fingerprint(first.keep(splits_of(np.ones(3)))) == fingerprint(
                second.keep(splits_of(np.ones(3)))
            )
    assert files(tmp_path) == []


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with Spool(tmp_path) as spool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
        try:
            with pytest.raises(UserError, match=r"cannot write the data to .*data-.*spool': "):
                spool.keep(splits_of(np.ones(1 << 20)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
    assert files(tmp_path) == []


def test_where_nothing_can_be_written_the_temporary_folder_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, temporary = tmp_path / "refused", tmp_path / "temporary"
    refused.mkdir()
    temporary.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != refused)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with Spool(refused) as spool:
        spool.keep(splits_of(np.ones(3)))
        assert files(refused) == []
        assert len(files(temporary)) == 1

"""The order in which samples run."""

import numpy as np
import pytest

from paretune.evaluators import Batch, from_arrays
from paretune.evaluators.accuracy.order import LEAST_RUNS, alike, as_given, heaviest_first


def batches(samples: int = 100, size: int = 30) -> list[Batch]:
    x = np.arange(samples, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
    return list(from_arrays({"x": x}, np.arange(samples), batch_size=size))


WEIGHTS = np.random.default_rng(0).random(100)


@pytest.mark.parametrize("any_size", [True, False])
def test_each_sample_runs_once_with_its_target_the_heaviest_first(*, any_size: bool) -> None:
    order = heaviest_first(batches(), WEIGHTS, mixed=True, any_size=any_size)
    runs = [order.batch(i) for i in range(len(order.runs))]
    targets = np.concatenate([run.targets for run in runs if run.targets is not None])
    np.testing.assert_array_equal(targets, np.argsort(-WEIGHTS))
    np.testing.assert_array_equal(targets, order.rows(len(order.runs)))
    for run in runs:
        np.testing.assert_array_equal(run.inputs["x"][:, 0], run.targets)


def test_batches_keep_their_sizes_or_are_cut_into_small_ones() -> None:
    fixed = heaviest_first(batches(), WEIGHTS, mixed=True, any_size=False)
    assert [len(rows) for rows in fixed.runs] == [30, 30, 30, 10]
    free = heaviest_first(batches(), WEIGHTS, mixed=True, any_size=True)
    assert {len(rows) for rows in free.runs} == {4}
    assert len(free.runs) <= LEAST_RUNS
    small = heaviest_first(batches(size=2), WEIGHTS, mixed=True, any_size=True)
    assert {len(rows) for rows in small.runs} == {2}


def test_how_many_runs_hold_a_share() -> None:
    order = heaviest_first(batches(), WEIGHTS, mixed=True, any_size=True)
    counts = [order.until(share) for share in (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)]
    assert [len(order.rows(count)) for count in counts] == [8, 16, 28, 52, 100]


def test_batches_that_are_not_alike_run_whole() -> None:
    ragged = [Batch({"x": np.ones((2, width), np.float32)}, np.arange(2)) for width in range(1, 30)]
    assert not alike(ragged)
    weights = np.repeat(np.random.default_rng(1).random(29), 2)
    order = heaviest_first(ragged, weights, mixed=False, any_size=True)
    runs = [order.batch(i) for i in range(len(order.runs))]
    widths = [run.inputs["x"].shape[1] for run in runs]
    assert widths == [int(i) + 1 for i in np.argsort(-weights[::2])]
    assert runs[0] is ragged[widths[0] - 1]


def test_what_is_alike() -> None:
    assert alike(batches())
    assert not alike([*batches(), *from_arrays({"x": np.ones((2, 3), np.float64)}, np.arange(2))])
    assert not alike([*batches(), *from_arrays({"x": np.ones((2, 3), np.float32)})])
    table = {"table": np.ones((7, 3), np.float32)}
    shared = [Batch({**batch.inputs, **table}, batch.targets) for batch in batches()]
    assert not alike(shared)


def test_as_given_copies_nothing() -> None:
    given = batches()
    order = as_given(given)
    assert all(order.batch(i) is batch for i, batch in enumerate(given))
    assert order.until(1.0) == len(given)

"""Against fits of every subset, made anew."""

from itertools import combinations

import numpy as np
import pytest

from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.solvers.selection import Indices, Reader, importance_order


def _reader(seed: int, channels: int, width: int, rows: int = 5, others: int = 2) -> Reader:
    """Of correlated inputs, some of which belong to no channel; the columns are shuffled."""
    rng = np.random.default_rng(seed)
    columns = channels * width + others
    mix = np.eye(columns) + rng.standard_normal((columns, columns)) / 3
    x = rng.standard_normal((4 * columns, columns)) @ mix
    x *= rng.uniform(0.2, 3, columns)
    own = rng.permutation(columns)[: channels * width].reshape(channels, width)
    return Reader(rng.standard_normal((rows, columns)), x.T @ x / len(x), own)


def _error(reader: Reader, gone: Indices) -> float:
    """Share of the output's mean square that the best other weights lose."""
    h, w = reader.moment, reader.weights
    kept = np.setdiff1d(np.arange(len(h)), reader.columns[gone])
    best = np.linalg.lstsq(h[np.ix_(kept, kept)], h[kept] @ w.T)[0].T
    change = w.copy()
    change[:, kept] -= best
    return float(np.trace(change @ h @ change.T) / np.trace(w @ h @ w.T))


def _total(readers: list[Reader], gone: Indices) -> float:
    return sum(_error(reader, gone) for reader in readers)


def _greedy(readers: list[Reader], count: int) -> list[int]:
    """The plain algorithm: every step tries every channel."""
    gone: list[int] = []
    while len(gone) < count:
        left = [c for c in range(count) if c not in gone]
        gone.append(min(left, key=lambda c: _total(readers, np.array([*gone, c]))))
    return gone[::-1]


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_every_step_takes_the_cheapest_channel(seed: int, width: int) -> None:
    readers = [_reader(seed, 7, width), _reader(seed + 10, 7, 1)]
    assert importance_order(readers, 7).tolist() == _greedy(readers, 7)


@pytest.mark.parametrize("seed", range(5))
def test_close_to_the_best_subset(seed: int) -> None:
    readers = [_reader(seed, 8, 1), _reader(seed + 10, 8, 2)]
    gone = importance_order(readers, 8)[4:]
    best = min(_total(readers, np.array(some)) for some in combinations(range(8), 4))
    assert _total(readers, gone) <= 1.25 * best


def _fresh_greedy(reader: Reader) -> list[int]:
    """One column a channel; inverse and weights computed from scratch at every step."""
    w, h = reader.weights, reader.moment
    left = reader.columns[:, 0].copy()
    channels = list(range(len(left)))
    others = np.setdiff1d(np.arange(len(h)), left)
    gone = []
    while channels:
        kept = np.concatenate([left, others])
        inverse = np.linalg.inv(h[np.ix_(kept, kept)])
        fitted = w @ h[:, kept] @ inverse
        costs = np.square(fitted).sum(axis=0) / np.diag(inverse)
        cheapest = int(np.argmin(costs[: len(left)]))
        gone.append(channels.pop(cheapest))
        left = np.delete(left, cheapest)
    return gone[::-1]


def test_many_channels_leave_in_batches_and_nearly_as_if_one_by_one() -> None:
    reader = _reader(0, 150, 1, rows=20)
    order, slow = importance_order([reader], 150), np.array(_fresh_greedy(reader))
    assert sorted(order.tolist()) == list(range(150))
    for removed in (10, 40, 75, 120):
        ours, theirs = _error(reader, order[-removed:]), _error(reader, slow[-removed:])
        assert ours <= 1.02 * theirs


def test_of_many_pairs_of_twins_one_of_each_leaves_first() -> None:
    """Each twin alone costs nothing: removing both at once would lose it."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((400, 80))
    twice = np.repeat(np.arange(80), 2)
    moment = (x.T @ x / len(x))[np.ix_(twice, twice)]
    reader = Reader(rng.standard_normal((5, 160)), moment, np.arange(160)[:, None])
    order = importance_order([reader], 160)
    assert sorted(twice[order[:80]].tolist()) == list(range(80))


def test_of_equals_the_lower_number_stays() -> None:
    reader = Reader(np.ones((2, 100)), np.eye(100), np.arange(100)[:, None])
    assert importance_order([reader], 100).tolist() == list(range(100))
    assert importance_order([], 4).tolist() == [0, 1, 2, 3]


def test_what_carries_nothing_leaves_first() -> None:
    reader = _reader(0, 6, 2)
    weights, moment = reader.weights.copy(), reader.moment.copy()
    weights[:, reader.columns[1]] = 0
    moment[reader.columns[4]] = 0
    moment[:, reader.columns[4]] = 0
    # An unused input still stands in for others: it must be independent to be worth nothing.
    rest = np.setdiff1d(np.arange(len(moment)), reader.columns[1])
    moment[np.ix_(reader.columns[1], rest)] = 0
    moment[np.ix_(rest, reader.columns[1])] = 0
    order = importance_order([Reader(weights, moment, reader.columns)], 6)
    assert set(order[-2:].tolist()) == {1, 4}


@pytest.mark.parametrize("kind", ["no weights", "no inputs", "one sample"])
def test_degenerate_layers_have_an_order(kind: str) -> None:
    rng = np.random.default_rng(0)
    weights, x = rng.standard_normal((3, 12)), rng.standard_normal((30, 12))
    if kind == "no weights":
        weights[:] = 0
    elif kind == "no inputs":
        x[:] = 0
    else:
        x = x[:1]
    moment: Matrix = x.T @ x / len(x)
    order = importance_order([Reader(weights, moment, np.arange(12).reshape(6, 2))], 6)
    assert sorted(order.tolist()) == list(range(6))
    if kind != "one sample":
        assert order.tolist() == list(range(6))

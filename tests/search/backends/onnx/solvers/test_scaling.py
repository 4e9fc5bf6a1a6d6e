from itertools import pairwise, product

import numpy as np
import pytest

from paretune.search.backends.onnx.solvers.scaling import (
    Linked,
    equalizing_scales,
    largest,
    smoothing_scales,
)


def _chain(widths: list[int], seed: int = 0) -> tuple[list[Linked], list[np.ndarray]]:
    """Fully connected layers; all channels but the first and the last have atoms."""
    rng = np.random.default_rng(seed)
    atoms = [np.zeros(widths[0], int)]
    for width in widths[1:-1]:
        atoms.append(np.arange(width) + atoms[-1].max() + 1)
    atoms.append(np.zeros(widths[-1], int))
    linked = []
    for before, after in pairwise(atoms):
        spread = 10.0 ** rng.uniform(-2, 2, (len(after), 1)) * 10.0 ** rng.uniform(
            -2, 2, (1, len(before))
        )
        magnitude = np.abs(rng.standard_normal((len(after), len(before)))) * spread
        linked.append(Linked(magnitude, before[None], after[:, None]))
    return linked, atoms


def _ranges(linked: list[Linked], scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Written and read, of every atom, entry by entry."""
    written, read = np.zeros(len(scales)), np.zeros(len(scales))
    for one in linked:
        shape = one.magnitude.shape
        inputs = np.broadcast_to(one.inputs, shape)
        outputs = np.broadcast_to(one.outputs, shape)
        for place in product(*map(range, shape)):
            a, b = inputs[place], outputs[place]
            value = one.magnitude[place] * scales[a] / scales[b]
            written[b], read[a] = max(written[b], value), max(read[a], value)
    return written, read


def test_two_layers_have_a_closed_form() -> None:
    linked, _ = _chain([3, 6, 4])
    scales = equalizing_scales(linked, np.ones(7, bool), tolerance=1e-9)
    first, second = linked[0].magnitude, linked[1].magnitude
    expected = np.sqrt(first.max(axis=1) * second.max(axis=0)) / second.max(axis=0)
    np.testing.assert_allclose(scales, [1, *expected], rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_every_channel_of_a_long_chain_is_as_wide_written_as_read(seed: int) -> None:
    linked, atoms = _chain([3, 5, 4, 6, 5, 2], seed)
    count = int(atoms[-2].max()) + 1
    # One layer's input is added to its output.
    tied = np.arange(count)
    tied[atoms[3][:4]] = atoms[2]
    linked = [Linked(o.magnitude, tied[o.inputs], tied[o.outputs]) for o in linked]
    scales = equalizing_scales(linked, np.ones(count, bool), tolerance=1e-6)
    written, read = _ranges(linked, scales)
    used = np.unique(tied)[1:]
    np.testing.assert_allclose(written[used], read[used], rtol=1e-4)
    written, read = _ranges(linked, np.ones(count))
    assert np.abs(np.log(written[used] / read[used])).max() > 1


def test_dead_and_held_channels_stay() -> None:
    linked, _ = _chain([3, 6, 4])
    linked[0].magnitude[0] = 0
    linked[1].magnitude[:, 1] = 0
    free = np.ones(7, bool)
    free[3] = False
    scales = equalizing_scales(linked, free)
    np.testing.assert_array_equal(scales[[0, 1, 2, 3]], 1)
    assert (scales[4:] != 1).all() and np.isfinite(scales).all()
    assert (equalizing_scales([], free) == 1).all()


def test_a_scale_stays_in_reach_of_float32() -> None:
    linked = [
        Linked(np.full((1, 1), 1e-38), np.zeros((1, 1), int), np.ones((1, 1), int)),
        Linked(np.full((1, 1), 1e38), np.ones((1, 1), int), np.zeros((1, 1), int)),
    ]
    assert equalizing_scales(linked, np.ones(2, bool), 1e-9)[1] == pytest.approx(1e-4)
    assert smoothing_scales(np.array([1e30]), np.array([1e-30]), 0.5) == pytest.approx(1e4)


def test_smoothing_is_the_papers_formula() -> None:
    data, weights = np.array([0.0, 16.0, 4.0, 0.0, 9.0]), np.array([1.0, 4.0, 9.0, 2.0, 0.0])
    np.testing.assert_allclose(smoothing_scales(data, weights, 0.5), [1, 2, 2 / 3, 1, 1])
    np.testing.assert_allclose(smoothing_scales(data, weights, 1.0)[1:3], data[1:3])
    np.testing.assert_allclose(smoothing_scales(data, weights, 0.0)[1:3], 1 / weights[1:3])


@pytest.mark.parametrize("shape", [(), (4,), (3, 1), (1, 4), (3, 4), (2, 1, 4), (1, 1, 1)])
def test_largest_of_each_atom(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(size=(2, 3, 4))
    atoms = rng.integers(0, 5, shape)
    wide = np.broadcast_to(atoms, values.shape)
    expected = [values[wide == a].max(initial=0) for a in range(5)]
    np.testing.assert_array_equal(largest(values, atoms, 5), expected)

"""Packed codes come back, from as few bytes as promised."""

import numpy as np
import pytest

from paretune.search.backends.onnx.packing import Packing

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 7, 8, 16, 32, 64, 100, 128, 256])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 15, 64, 1001])
def test_round_trip(levels: int, size: int) -> None:
    packing = Packing(levels)
    for codes in (RNG.integers(0, levels, size), np.full(size, levels - 1)):
        stored = packing.pack(codes)
        assert stored.dtype == np.uint8
        assert stored.shape == (packing.words(size), packing.width)
        found = packing.unpack(stored)
        np.testing.assert_array_equal(found[:size], codes)
        assert not found[size:].any()


@pytest.mark.parametrize("bits", range(1, 9))
def test_powers_of_two_waste_nothing(bits: int) -> None:
    codes = RNG.integers(0, 2**bits, 64)
    assert Packing(2**bits).pack(codes).size == 8 * bits
    # The lowest bits first, without a gap.
    whole = sum(int(code) << index * bits for index, code in enumerate(codes))
    assert Packing(2**bits).pack(codes).tobytes() == whole.to_bytes(8 * bits, "little")


def test_ternary_takes_a_fifth_of_a_byte() -> None:
    assert Packing(3).pack(np.array([2, 1, 0, 2, 1])).tolist() == [[2 + 3 + 2 * 27 + 81]]
    assert Packing(3).pack(np.zeros(1000, np.uint8)).size == 200


@pytest.mark.parametrize("levels", [3, *(2**bits for bits in range(1, 9))])
def test_integers_stay_exact_as_float32(levels: int) -> None:
    packing = Packing(levels)
    most = 255 * packing.window.sum(axis=0).max() if packing.width > 1 else 255
    assert most < 2**24

"""Raw samples as text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.evaluators.measuring.compact import decode, encode

SECONDS = st.lists(st.floats(1e-6, 1e3), max_size=50)


@given(SECONDS)
def test_samples_come_back_to_five_digits_of_the_smallest(seconds: list[float]) -> None:
    found = decode(encode(seconds))
    assert len(found) == len(seconds)
    if seconds:
        assert np.abs(np.array(found) - seconds).max() <= 0.6e-4 * min(seconds)


@given(SECONDS)
def test_what_was_read_is_written_as_it_was(seconds: list[float]) -> None:
    text = encode(seconds)
    assert encode(decode(text)) == text


def test_the_text_is_short() -> None:
    rng = np.random.default_rng(0)
    blocks = 1.5e-3 * np.exp(0.02 * rng.standard_normal(100) + 0.5 * (rng.random(100) < 0.05))
    assert len(encode(list(blocks))) <= 350


def test_an_example() -> None:
    # 20000, +5, -10 in units of 10 ns.
    assert encode([2e-4, 2.0005e-4, 1.9995e-4]) == "-8:wLgCChM="
    assert decode("-8:wLgCChM=") == (2e-4, 2.0005e-4, 1.9995e-4)
    assert decode(encode([0.25, 0.5])) == (0.25, 0.5)
    assert encode([]) == ""
    assert decode("") == ()


@pytest.mark.parametrize("text", ["abc", "-8:!", "x:AA==", "-8:gA=="])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)

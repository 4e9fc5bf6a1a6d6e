import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.errors import UserError
from paretune.spaces import NM, Channel, ChannelGroup, Dense, Unstructured, parse_sparsity


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dense", Dense()),
        ("unstructured:0.5", Unstructured(0.5)),
        ("channel:0.25", Channel(0.25)),
        ("2:4", NM(2, 4)),
        ("channel:0", Dense()),
        ("4:4", Dense()),
    ],
)
def test_spellings(text: str, expected: object) -> None:
    assert parse_sparsity(text) == expected


@pytest.mark.parametrize(
    "text", ["", "sparse", "channel:1", "channel:-0.1", "5:4", "0:4", "channel:x"]
)
def test_refused(text: str) -> None:
    with pytest.raises(UserError, match="sparsity"):
        parse_sparsity(text)


@given(st.integers(1, 512), st.floats(0, 0.999), st.sampled_from([1, 4, 8, 16]))
def test_snapping_is_idempotent_and_on_the_grain(size: int, amount: float, grain: int) -> None:
    group = ChannelGroup("g", ("g",), size)
    kept = group.keep(amount, grain)
    assert 0 < kept <= size
    assert kept % grain == 0 or kept == size
    assert group.keep(group.snapped(amount, grain), grain) == kept
    if kept < size:
        assert abs(kept - size * (1 - amount)) <= max(grain / 2, grain - size * (1 - amount)) + 1e-9

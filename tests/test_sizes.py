"""Sizes as people write them."""

import pytest

from paretune.errors import UserError
from paretune.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 << 30),
        ("500 MB", 500_000_000),
        ("1.5kib", 1536),
        ("1024", 1024),
        (" 10 B ", 10),
        ("2TB", 2 * 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "0", "0.0001kB", "-1", "4 G", "4 GiBs", "1e9", "inf"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UserError, match="cannot read the size"):
        parse_size(text)

"""Mutations of bytes, which any kind of file is made of."""

from collections.abc import Callable, Sequence
from random import Random

from hypothesis import strategies as st

randoms = st.randoms(use_true_random=False)
"""Random numbers that hypothesis chooses, repeats and shrinks."""

NUMBERS = [0, 1, -1, 2, 3, 7, 255, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63)]


def mutated_bytes(content: bytes, rng: Random, pieces: Sequence[bytes] = ()) -> bytes:
    """One to four mutations.

    Args:
        pieces: what may be put in, besides single bytes.
    """
    for _ in range(rng.randint(1, 4)):
        content = rng.choice(_MUTATIONS)(content, rng, pieces)
    return content


def _place(content: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randint(0, len(content))
    return start, min(len(content), start + rng.choice([1, 1, 2, 4, 16, 64]))


def _delete(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    start, stop = _place(content, rng)
    return content[:start] + content[stop:]


def _insert(content: bytes, rng: Random, pieces: Sequence[bytes]) -> bytes:
    start = rng.randint(0, len(content))
    piece = rng.choice(pieces) if pieces and rng.random() < 0.7 else bytes([rng.randrange(256)])
    return content[:start] + piece + content[start:]


def _overwrite(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    start, stop = _place(content, rng)
    return content[:start] + rng.randbytes(stop - start) + content[stop:]


def _flip(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    start = _place(content, rng)[0]
    flipped = bytes(byte ^ (1 << rng.randrange(8)) for byte in content[start : start + 1])
    return content[:start] + flipped + content[start + 1 :]


def _swap(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    (a, b), (c, d) = sorted([_place(content, rng), _place(content, rng)])
    b, d = min(b, c), max(b, d)
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _double(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    start, stop = _place(content, rng)
    return content[:stop] + content[start:stop] + content[stop:]


def _double_line(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    index = rng.randrange(len(lines))
    return b"".join([*lines[: index + 1], *lines[index:]])


def _drop_line(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    lines = content.splitlines(keepends=True) or [b""]
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


def _cut_off(content: bytes, rng: Random, _: Sequence[bytes]) -> bytes:
    return content[: rng.randint(0, len(content))]


_Mutation = Callable[[bytes, Random, Sequence[bytes]], bytes]
_MUTATIONS: list[_Mutation] = [
    *[_delete, _insert, _insert, _overwrite, _flip, _swap, _double, _double_line, _drop_line],
    _cut_off,
]

"""Codes of a few bits, packed into bytes."""

from dataclasses import dataclass
from functools import cached_property
from math import gcd

import numpy as np
from numpy.typing import NDArray

from paretune.search.backends.onnx.graph import Array


@dataclass(frozen=True)
class Packing:
    """How codes from 0 to `levels - 1` share bytes.

    2^b levels take exactly b bits; a few codes fill a word of a few bytes, the lowest bits first.
    Of another number of levels, a byte holds as many digits as fit: 5 of 3 levels.

    Attributes:
        levels: from 2 to 256.
    """

    levels: int

    @cached_property
    def digits(self) -> int:
        """Codes a word."""
        if self._bits:
            return 8 // gcd(self._bits, 8)
        return next(d for d in range(8, 0, -1) if self.levels**d <= 256)

    @cached_property
    def width(self) -> int:
        """Bytes a word."""
        return self._bits // gcd(self._bits, 8) if self._bits else 1

    @cached_property
    def power(self) -> NDArray[np.int32]:
        """What the bytes that hold a code are divided by to bring it to the front, shape
        (digits,)."""
        place = np.arange(self.digits)
        power = 1 << place * self._bits % 8 if self._bits else self.levels**place
        return power.astype(np.int32)

    @cached_property
    def window(self) -> NDArray[np.int32]:
        """The bytes that hold each code, as factors, shape (width, digits).

        A code lies in one byte or two, so that no integer exceeds 2^16: OpenVINO computes some
        integers as float32.
        """
        first, bit = np.divmod(np.arange(self.digits) * self._bits, 8)
        window = np.zeros((self.width + 1, self.digits), np.int32)
        window[first, np.arange(self.digits)] = 1
        window[first + 1, np.arange(self.digits)] = np.where(bit + self._bits > 8, 256, 0)
        return window[:-1]

    @property
    def _bits(self) -> int:
        """Of a code; 0 if the levels are no power of two."""
        bits = self.levels.bit_length() - 1
        return bits if 1 << bits == self.levels else 0

    def words(self, count: int) -> int:
        """That `count` codes need."""
        return -(-count // self.digits)

    def pack(self, codes: Array) -> NDArray[np.uint8]:
        """Bytes, shape (words, width), of codes of any shape."""
        flat = np.zeros((self.words(codes.size), self.digits), np.int32)
        flat.reshape(-1)[: codes.size] = codes.reshape(-1)
        if not self._bits:
            return (flat @ self.power)[:, None].astype(np.uint8)
        bits = flat[..., None] >> np.arange(self._bits) & 1
        rows = bits.astype(np.uint8).reshape(len(flat), -1)
        return np.packbits(rows, axis=1, bitorder="little")

    def unpack(self, stored: Array) -> NDArray[np.uint8]:
        """Codes, shape (words · digits,), of bytes of shape (words, width)."""
        wide = stored.astype(np.int32)
        wide = wide @ self.window if self.width > 1 else wide
        return (wide // self.power % self.levels).astype(np.uint8).reshape(-1)

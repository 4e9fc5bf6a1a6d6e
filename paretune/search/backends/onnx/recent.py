"""What was asked for last, kept in memory up to a limit."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_LIMIT_BYTES = 64 * 2**20

_T = TypeVar("_T")


class Recent(Generic[_T]):
    """Values by key; the one whose last use is longest ago goes first."""

    def __init__(self, size: Callable[[_T], int], limit: int = _LIMIT_BYTES) -> None:
        """Start empty.

        Args:
            size: bytes of a value.
            limit: bytes of all of them; one value is kept however large it is.
        """
        self._size = size
        self._limit = limit
        self._bytes = 0
        self._values: OrderedDict[Hashable, _T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """The value of `key`, made if it is not there."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = self._values[key] = make()
        self._bytes += self._size(value)
        while self._bytes > self._limit and len(self._values) > 1:
            self._bytes -= self._size(self._values.popitem(last=False)[1])
        return value

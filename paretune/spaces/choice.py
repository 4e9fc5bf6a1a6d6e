"""A choice: one way to treat one layer."""

from dataclasses import dataclass, field
from functools import lru_cache

from paretune.spaces.precision import Precision, parse_precision
from paretune.spaces.sparsity import Dense, Sparsity, parse_sparsity


@dataclass(frozen=True, order=True)
class Choice:
    """What is done to one layer. Spelled `int8`, `fp32+2:4`, `int8+channel:0.25`."""

    precision: Precision = Precision.FP32
    sparsity: Sparsity = field(default_factory=Dense)

    def __str__(self) -> str:
        if isinstance(self.sparsity, Dense):
            return str(self.precision)
        return f"{self.precision}+{self.sparsity}"

    @staticmethod
    @lru_cache(maxsize=1 << 12)
    def parse(text: str) -> "Choice":
        """Read the spelling that `str(choice)` writes.

        Raises:
            UserError: the precision or the sparsity is not a known spelling.
        """
        precision, _, sparsity = text.partition("+")
        return Choice(parse_precision(precision), parse_sparsity(sparsity or "dense"))

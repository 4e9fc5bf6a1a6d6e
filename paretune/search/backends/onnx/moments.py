"""Second moments of what the layers read, in bounded memory and on disk.

Sums are float64 from the values on: channels with a large mean and a small spread cancel, and no
square of a float32 overflows there.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from paretune.files import write_whole
from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.recent import Recent
from paretune.search.backends.onnx.solvers.problem import Matrix
from paretune.search.backends.onnx.unfold import Unfolding, unfolding_of

LIMIT_VALUES = 2**26
"""Of all sums that are in memory at a time: 512 MiB."""

_LEAST_VECTORS = 20_000
_VECTORS_PER_COLUMN = 50
_BLOCK = 1024
_GOLDEN = (5**0.5 - 1) / 2


class MomentSums:
    """Sums over the vectors that one unfolding takes from the calibration data.

    Where there are more than 20,000 vectors and more than 50 for each column, about that many are
    taken. What that adds to an entry's sampling error is about 1% of the inputs' mean squares, and
    a layer with many positions costs no more than one with few.

    Attributes:
        unfolding: how the tensor is read.
    """

    def __init__(self, unfolding: Unfolding, expected: int) -> None:
        """Start with no data.

        Args:
            unfolding: how the tensor is read.
            expected: number of vectors, per group, in all of the data.
        """
        self.unfolding = unfolding
        groups, columns = unfolding.groups, unfolding.columns
        most = max(_LEAST_VECTORS, _VECTORS_PER_COLUMN * columns)
        self._share = most / max(expected, 1)
        self._seen = 0
        self._taken = 0
        self._sums = np.zeros((groups, columns))
        self._squares = np.zeros((groups, columns))
        self._products = np.zeros((groups, columns, columns)) if is_narrow(unfolding) else None

    def add(self, array: Array) -> None:
        """Add one chunk of samples.

        Args:
            array: value of the tensor.
        """
        count = self.unfolding.count(array.shape)
        # Multiples of the golden ratio spread evenly over every regular pattern of positions, so
        # the vectors taken favour no row, column or sample (Weyl); chunks make no difference.
        numbers = np.arange(self._seen, self._seen + count)
        chosen = np.flatnonzero(numbers * _GOLDEN % 1.0 < self._share)
        self._seen += count
        self._taken += len(chosen)
        if not len(chosen):
            return
        for x in self.unfolding.vectors(array, chosen):
            self._sums += x.sum(axis=1)
            self._squares += np.einsum("grc,grc->gc", x, x)
            if self._products is not None:
                # Only on and above the diagonal, and in blocks: a product needs memory, too.
                for start in range(0, x.shape[2], _BLOCK):
                    rows = x[..., start : start + _BLOCK].transpose(0, 2, 1)
                    self._products[:, start : start + _BLOCK, start:] += rows @ x[..., start:]

    def result(self) -> dict[str, Array]:
        """What is stored.

        Returns:
            mean, shape (groups, columns), `diagonal` of E[x xᵀ] likewise, and, unless the unfolding
            is too wide, the correlations `above` the diagonal, row by row. These are at most 1,
            so that float32 holds them of inputs of any magnitude. Zero means and the identity
            when there was no data.
        """
        taken = max(self._taken, 1)
        mean = self._sums / taken
        diagonal = self._squares / taken if self._taken else np.ones_like(self._squares)
        found: dict[str, Array] = {"mean": mean, "diagonal": diagonal}
        if self._products is not None:
            length = np.sqrt(self._squares)
            inverse = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
            columns = self.unfolding.columns
            rows = [
                self._products[:, i, i + 1 :] * inverse[:, i, None] * inverse[:, i + 1 :]
                for i in range(columns)
            ]
            found["above"] = np.concatenate(rows, axis=1, dtype=np.float32, casting="same_kind")
        return found


class Moments:
    """The stored statistics of every layer's input, read from disk when asked for.

    Layers that read the same tensor in the same way share a file.
    """

    def __init__(self, folder: Path, layers: Iterable[WeightedNode]) -> None:
        self._folder = folder
        self._layers = {layer.name: layer for layer in layers}
        self._recent: Recent[Matrix] = Recent(lambda array: array.nbytes)

    @property
    def unfoldings(self) -> list[Unfolding]:
        """Distinct ones, in the layers' order."""
        found = (unfolding_of(layer) for layer in self._layers.values())
        return list(dict.fromkeys(u for u in found if u is not None))

    def complete(self) -> bool:
        """Whether nothing is missing on disk."""
        return all(self._path(unfolding).is_file() for unfolding in self.unfoldings)

    def save(self, sums: MomentSums) -> None:
        """Store what was collected, whole or not at all."""
        content = io.BytesIO()
        arrays: Mapping[str, Array] = sums.result()
        np.savez(content, allow_pickle=False, **arrays)
        self._folder.mkdir(exist_ok=True)
        write_whole(self._path(sums.unfolding), content.getvalue())

    def moment(self, layer: str) -> Matrix:
        """E[x xᵀ], shape (groups, columns, columns), of the vectors that the layer multiplies.

        The identity for `Gather`; only the diagonal for a layer so wide that the sums would not
        fit in memory (more than 8192 columns). Read-only, and kept in memory for a while.
        """
        key = "moment", unfolding_of(self._layers[layer]) or layer
        return self._recent.get(key, lambda: self._restored(layer))

    def _restored(self, layer: str) -> Matrix:
        stored = self._read(layer, "diagonal", "above")
        diagonal = stored["diagonal"]
        groups, columns = diagonal.shape
        found = np.zeros((groups, columns, columns))
        if "above" in stored:
            length = np.sqrt(diagonal)
            stop = 0
            for i in range(columns):
                start, stop = stop, stop + columns - 1 - i
                row = stored["above"][:, start:stop] * length[:, i, None] * length[:, i + 1 :]
                found[:, i, i + 1 :] = row
                found[:, i + 1 :, i] = row
        found[:, range(columns), range(columns)] = diagonal
        found.flags.writeable = False
        return found

    def mean(self, layer: str) -> Matrix:
        """E[x], shape (groups, columns); zero for `Gather`. Kept in memory for a while."""
        key = "mean", unfolding_of(self._layers[layer]) or layer
        return self._recent.get(key, lambda: self._read(layer, "mean")["mean"])

    def diagonal(self, layer: str) -> Matrix:
        """E[x²], shape (groups, columns): the diagonal of `moment`, without reading all of it."""
        return self._read(layer, "diagonal")["diagonal"]

    def _read(self, layer: str, *names: str) -> dict[str, Matrix]:
        """Those of the stored arrays that there are."""
        node = self._layers[layer]
        unfolding = unfolding_of(node)
        if unfolding is None:
            width = (1, node.layer.weight_shape[1])
            return {"mean": np.zeros(width), "diagonal": np.ones(width)}
        with np.load(self._path(unfolding)) as stored:
            return {name: stored[name].astype(np.float64) for name in names if name in stored}

    def _path(self, unfolding: Unfolding) -> Path:
        return self._folder / f"{hashlib.sha256(repr(unfolding).encode()).hexdigest()[:32]}.npz"


def is_narrow(unfolding: Unfolding) -> bool:
    """Whether all products of two entries are kept."""
    return _values(unfolding) <= LIMIT_VALUES


def passes(unfoldings: Sequence[Unfolding]) -> Iterator[list[Unfolding]]:
    """The unfoldings in parts whose sums fit in memory together; at least one part."""
    part: list[Unfolding] = []
    used = 0
    for unfolding in unfoldings:
        values = _values(unfolding) if is_narrow(unfolding) else 0
        if part and used + values > LIMIT_VALUES:
            yield part
            part, used = [], 0
        part.append(unfolding)
        used += values
    yield part


def _values(unfolding: Unfolding) -> int:
    return unfolding.groups * unfolding.columns**2

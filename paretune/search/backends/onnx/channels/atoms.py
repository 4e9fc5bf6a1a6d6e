"""Atoms: channels that are the same one, as a disjoint-set forest."""

import numpy as np
from numpy.typing import NDArray

Atoms = NDArray[np.int64]


class AtomTable:
    """All atoms of a graph: which are the same, and which can never be removed."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self._frozen: set[int] = set()

    def fresh(self, shape: tuple[int, ...], *, frozen: bool = False) -> Atoms:
        """New atoms, each of its own."""
        start = len(self._parent)
        found = np.arange(start, start + int(np.prod(shape)))
        self._parent.extend(found.tolist())
        if frozen:
            self._frozen.update(found.tolist())
        return found.reshape(shape)

    def unite(self, left: Atoms, right: Atoms) -> None:
        """Make atoms at the same place the same one. Shapes are broadcast."""
        both = (x.reshape(-1).tolist() for x in np.broadcast_arrays(left, right))
        for a, b in zip(*both, strict=True):
            low, high = sorted((self._root(a), self._root(b)))
            self._parent[high] = low

    def freeze(self, atoms: Atoms) -> None:
        self._frozen.update(atoms.reshape(-1).tolist())

    def roots(self, atoms: Atoms) -> Atoms:
        """The same shape; atoms that are the same one have the same number."""
        found = [self._root(atom) for atom in atoms.reshape(-1).tolist()]
        return np.array(found, np.int64).reshape(atoms.shape)

    def frozen(self) -> frozenset[int]:
        """Roots of the atoms that cannot be removed."""
        return frozenset(self._root(atom) for atom in self._frozen)

    def _root(self, atom: int) -> int:
        while self._parent[atom] != atom:
            self._parent[atom] = self._parent[self._parent[atom]]
            atom = self._parent[atom]
        return atom

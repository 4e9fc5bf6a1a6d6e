"""A policy as numbers that objectives are nearly linear in."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from paretune.search.guided.arrays import Floats, Indices
from paretune.search.guided.structure import Structure

_FLOOR = 0.05


class Features:
    """Columns for the options of knobs, and of pairs of neighbouring knobs.

    Both come twice: for each knob (or pair) on its own, and shared by all of the same kind, as the
    number of those that are set so. A few trials teach what is shared; what is special about a
    single layer shows later. Layers differ above all in how much they react to anything: where the
    profile of a kind is known, each knob has a column for this, too. A clue is a column, its sum
    over the knobs, and one more for each knob of which it tells several options apart. Every column
    belongs to a group, and a group has one prior variance.

    Args:
        profiles: of a kind, the effects of its options in proportion to each other.

    Attributes:
        count: columns.
        group: of each column.
        groups: number of groups.
        family: of each group, that of its prior: its siblings have similar variances.
        sizes: options of each knob.
        options: the knobs' own columns, knob by knob.
        starts: of each knob in `options`.
        bend: of each kind, the variance of its profile.
        clued: the column of each clue.
        clued_knobs: of each clue, knobs to their columns.
    """

    def __init__(self, structure: Structure, profiles: Mapping[int, Floats] | None = None) -> None:
        self.structure = structure
        self.profiles = dict(profiles or {})
        self.count = 0
        self._groups: list[Indices] = []
        self.family: list[int] = []
        self._families: dict[object, int] = {}
        kinds = structure.kinds
        self.shared = {
            kind: self._add(structure.sizes[kinds.index(kind)], ("shared",))
            for kind in dict.fromkeys(kinds)
        }
        self.own = [
            self._add(size, ("own", kind))
            for size, kind in zip(structure.sizes, kinds, strict=True)
        ]
        sizes = {pair: self._size(pair) for pair in structure.pairs}
        self.shared_pairs = {structure.pair_kind(pair): 0 for pair in structure.pairs}
        for pair, size in sizes.items():
            pair_kind = structure.pair_kind(pair)
            if not self.shared_pairs[pair_kind]:
                self.shared_pairs[pair_kind] = self._add(size, ("shared pairs",))
        self.own_pairs = {
            pair: self._add(size, ("pairs", structure.pair_kind(pair)))
            for pair, size in sizes.items()
        }
        self.strengths = {
            knob: self._add(1, ("strength", kind))
            for knob, kind in enumerate(kinds)
            if kind in self.profiles
        }
        self.clued = [self._add(1, ("clue", clue.family)) for clue in structure.clues]
        self.clued_knobs = [
            {
                knob: self._add(1, ("clued knob", clue.family))
                for knob, table in enumerate(clue.tables)
                if np.count_nonzero(table) > 1
            }
            for clue in structure.clues
        ]
        self.sizes = np.array(structure.sizes)
        self.options = np.concatenate(
            [
                np.arange(start, start + n)
                for start, n in zip(self.own, structure.sizes, strict=True)
            ]
        )
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.bend = {kind: float(profile.var()) for kind, profile in self.profiles.items()}
        self.group = np.concatenate(self._groups)
        self.groups = len(self.family)

    @cached_property
    def scale(self) -> Floats:
        """Of each column.

        Shared ones count many knobs, which must not make them weigh more. What changes little on
        average is expected to change little anywhere.
        """
        found = np.ones(self.count)
        kinds, sizes = self.structure.kinds, self.structure.sizes
        for kind, start in self.shared.items():
            found[start : start + sizes[kinds.index(kind)]] = kinds.count(kind) ** -0.5
        size_of = {
            kind: (np.abs(self.profiles[kind]) + _FLOOR) / (1 + _FLOOR)
            if kind in self.profiles
            else np.ones(sizes[kinds.index(kind)])
            for kind in self.shared
        }
        for knob, start in enumerate(self.own):
            found[start : start + sizes[knob]] = size_of[kinds[knob]]
        of = [self.structure.pair_kind(pair) for pair in self.structure.pairs]
        alike = Counter(of)
        for pair, pair_kind in zip(self.structure.pairs, of, strict=True):
            first, second = (size_of[kinds[knob]] for knob in pair)
            both = ((first[:, None] + second) / 2).ravel()
            own, shared = self.own_pairs[pair], self.shared_pairs[pair_kind]
            found[own : own + len(both)] = both
            found[shared : shared + len(both)] = alike[pair_kind] ** -0.5 * both
        for knobs in self.clued_knobs:
            for column in knobs.values():
                # As strong, on average, as a column that is one knob's.
                found[column] = len(kinds) ** 0.5
        return found

    @cached_property
    def _columns(self) -> tuple[Indices, Indices, Indices, Indices]:
        """Starts of the knobs' columns (shared, own) and of the pairs' (shared, own)."""
        structure, pairs = self.structure, self.structure.pairs
        return (
            np.array([self.shared[kind] for kind in structure.kinds], dtype=np.int64),
            np.array(self.own, dtype=np.int64),
            np.array([self.shared_pairs[structure.pair_kind(p)] for p in pairs], np.int64),
            np.array([self.own_pairs[p] for p in pairs], np.int64),
        )

    @cached_property
    def _figures(self) -> list[Floats]:
        """Of each clue, knob by knob as `options`."""
        return [np.concatenate(clue.tables) for clue in self.structure.clues]

    def __call__(self, x: Indices) -> Floats:
        """The columns of policies.

        Args:
            x: option indices, shape (policies, knobs).

        Returns:
            shape (policies, count).
        """
        shared, own, shared_pairs, own_pairs = self._columns
        sizes = np.array(self.structure.sizes)
        parts = [shared + x, own + x]
        if self.structure.pairs:
            first, second = np.array(self.structure.pairs).T
            both = x[:, first] * sizes[second] + x[:, second]
            parts += [shared_pairs + both, own_pairs + both]
        columns = np.concatenate(parts, axis=1)
        flat = columns + self.count * np.arange(len(x))[:, None]
        counted = np.bincount(flat.ravel(), minlength=len(x) * self.count)
        found: Floats = counted.reshape(len(x), self.count) * self.scale
        for knob, column in self.strengths.items():
            found[:, column] = self.profiles[self.structure.kinds[knob]][x[:, knob]]
        for figures, column, knobs in zip(self._figures, self.clued, self.clued_knobs, strict=True):
            told = figures[self.starts + x]
            found[:, column] = told.sum(axis=1)
            own_columns = list(knobs.values())
            found[:, own_columns] = told[:, list(knobs)] * self.scale[own_columns]
        return found

    def clue_weights(self, weights: Floats, knob: int) -> Iterator[tuple[Floats, Floats]]:
        """What clues say of a knob: their tables, and how much each counts.

        Args:
            weights: of the columns, scaled, shape (..., count).
        """
        for clue, column, knobs in zip(
            self.structure.clues, self.clued, self.clued_knobs, strict=True
        ):
            if (table := clue.tables[knob]).any():
                weight = weights[..., column]
                yield weight + weights[..., knobs[knob]] if knob in knobs else weight, table

    def _size(self, pair: Sequence[int]) -> int:
        return self.structure.sizes[pair[0]] * self.structure.sizes[pair[1]]

    def _add(self, size: int, family: object) -> int:
        """Columns of a new group; the first."""
        start = self.count
        self._groups.append(np.full(size, len(self.family)))
        self.family.append(self._families.setdefault(family, len(self._families)))
        self.count += size
        return start

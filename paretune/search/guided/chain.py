"""Exact minimization of what is additive over sites and neighbouring sites."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from paretune.search.guided.arrays import Floats, Indices
from paretune.search.guided.features import Features
from paretune.search.guided.structure import Structure

STATES = 32
"""A site with more combinations of options is searched over this many of them, drawn at random."""


@dataclass(frozen=True)
class Tables:
    """Several sums over sites.

    Attributes:
        sites: of each site, shape (sums, states).
        pairs: of each two neighbours, shape (sums, states, states).
    """

    sites: Sequence[Floats]
    pairs: Sequence[Floats]


class Chain:
    """The sites of a space in a row, each with the states that it may have."""

    def __init__(self, structure: Structure, rng: np.random.Generator) -> None:
        self._structure = structure
        self._states: list[Indices] = []
        for knobs in structure.by_site:
            every = np.array(list(product(*(range(structure.sizes[k]) for k in knobs))))
            if len(every) > STATES:
                every = every[np.sort(rng.choice(len(every), STATES, replace=False))]
            self._states.append(every)
        # Of each knob the site, and the states' options.
        self._options = {
            knob: (site, self._states[site][:, place])
            for site, knobs in enumerate(structure.by_site)
            for place, knob in enumerate(knobs)
        }

    def tables(self, features: Features, weights: Floats) -> Tables:
        """The sums that weights of the columns mean.

        Args:
            weights: shape (sums, columns).
        """
        structure, count = self._structure, len(weights)
        scaled = weights * features.scale
        sites = [np.zeros((count, len(states))) for states in self._states]
        pairs = [
            np.zeros((count, len(a), len(b)))
            for a, b in zip(self._states, self._states[1:], strict=False)
        ]
        for knob, (site, option) in self._options.items():
            kind = structure.kinds[knob]
            sites[site] += scaled[:, features.shared[kind] + option]
            sites[site] += scaled[:, features.own[knob] + option]
            if knob in features.strengths:
                strength = scaled[:, features.strengths[knob], None]
                sites[site] += strength * features.profiles[kind][option]
            for weight, table in features.clue_weights(scaled, knob):
                sites[site] += weight[:, None] * table[option]
        for pair in structure.pairs:
            (site, a), (other, b) = (self._options[knob] for knob in pair)
            kinds = structure.pair_kind(pair)
            size = structure.sizes[pair[1]]
            both = a * size + b if site == other else a[:, None] * size + b
            target = sites[site] if site == other else pairs[site]
            for start in (features.shared_pairs[kinds], features.own_pairs[pair]):
                target += scaled[:, start + both]
        return Tables(sites, pairs)

    def minimize(self, tables: Tables) -> Indices:
        """The policies with the least sums, by dynamic programming (Viterbi, 1967).

        Returns:
            option indices, shape (sums, knobs).
        """
        best = tables.sites[0]
        choices = []
        for own, between in zip(tables.sites[1:], tables.pairs, strict=True):
            total = best[:, :, None] + between
            choice = total.argmin(axis=1)
            choices.append(choice)
            best = np.take_along_axis(total, choice[:, None, :], axis=1)[:, 0] + own
        rows = np.arange(len(best))
        found = np.empty((len(best), len(self._structure.sizes)), dtype=np.int64)
        state = best.argmin(axis=1)
        for site in range(len(tables.sites) - 1, -1, -1):
            found[:, list(self._structure.by_site[site])] = self._states[site][state]
            if site:
                state = choices[site - 1][rows, state]
        return found


def weighed(tables: Sequence[Tables], weights: Floats) -> Tables:
    """Sums of the tables of several objectives, weighed in several ways.

    Args:
        tables: of each objective, each for the same number of draws.
        weights: positive, shape (draws, ways, objectives).
    """

    def mix(parts: Sequence[Floats]) -> Floats:
        found: Floats = np.einsum("dwo,od...->dw...", weights, np.stack(parts))
        return found.reshape(-1, *found.shape[2:])

    return Tables(
        [mix(parts) for parts in zip(*(t.sites for t in tables), strict=True)],
        [mix(parts) for parts in zip(*(t.pairs for t in tables), strict=True)],
    )

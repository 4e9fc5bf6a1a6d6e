"""What a sampler may know of its parameters: which belong together, and which are neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product

from paretune.search.guided.clue import Clue, Clues


@dataclass(frozen=True)
class Structure:
    """The knobs of a space, in the order of the network.

    Attributes:
        sizes: options of each knob.
        kinds: knobs of equal kind have the same options, and similar effects.
        sites: of each knob, the place in the network that it acts on; ascending, from 0.
        clues: what is known of the options before any trial.
    """

    sizes: tuple[int, ...]
    kinds: tuple[int, ...]
    sites: tuple[int, ...]
    clues: tuple[Clue, ...] = ()

    @staticmethod
    def of(options: Mapping[str, Sequence[object]], clues: Clues | None = None) -> "Structure":
        """Read it from the parameters' names, in the order of the network.

        A name `KIND/SITE` (`precision/conv1`) tells both; any other is a site of its own, and of
        the kind of all that have the same options.

        Args:
            options: of each parameter.
            clues: as `GuidedSampler` is given them.

        Raises:
            ValueError: a clue has not one figure for each option.
        """
        kinds: dict[tuple[str, tuple[str, ...]], int] = {}
        places: dict[str, int] = {}
        kind_of, site_of = [], []
        for name, values in options.items():
            kind, slash, site = name.partition("/")
            key = (kind if slash else "", tuple(map(str, values)))
            kind_of.append(kinds.setdefault(key, len(kinds)))
            site_of.append(places.setdefault(site if slash else name, len(places)))
        sizes = tuple(map(len, options.values()))
        known = tuple(Clue.of(name, told, options) for name, told in (clues or {}).items())
        return Structure(
            sizes, tuple(kind_of), tuple(site_of), tuple(clue for clue in known if clue.tells)
        )

    @cached_property
    def by_site(self) -> tuple[tuple[int, ...], ...]:
        """The knobs of each site."""
        found: list[list[int]] = [[] for _ in range(max(self.sites, default=-1) + 1)]
        for knob, site in enumerate(self.sites):
            found[site].append(knob)
        return tuple(map(tuple, found))

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The knobs that interact most: of one site, and of neighbouring ones."""
        within = [pair for knobs in self.by_site for pair in combinations(knobs, 2)]
        between = [
            pair
            for first, second in zip(self.by_site, self.by_site[1:], strict=False)
            for pair in product(first, second)
        ]
        return (*within, *between)

    def pair_kind(self, pair: tuple[int, int]) -> tuple[int, int, int]:
        """Pairs of equal kind have similar effects."""
        first, second = pair
        return self.kinds[first], self.kinds[second], self.sites[second] - self.sites[first]

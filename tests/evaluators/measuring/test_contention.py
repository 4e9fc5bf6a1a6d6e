"""Contention: when a core counts as shared, from what the two kinds of work take."""

from collections.abc import Iterator

import numpy as np
import pytest

from paretune.evaluators.measuring.contention import LIMIT, Contention


class Core(Contention):
    """Its ratios are those of the test."""

    def __init__(self, ratios: Iterator[float]) -> None:
        super().__init__()
        self._given = ratios

    def _ratio(self) -> float:
        return next(self._given)


def noisy(level: float, seed: int) -> Iterator[float]:
    rng = np.random.default_rng(seed)
    while True:
        yield float(level * np.exp(0.03 * rng.standard_normal()))


def chained(*parts: tuple[float, int]) -> Iterator[float]:
    for seed, (level, count) in enumerate(parts):
        ratios = noisy(level, seed)
        for _ in range(count):
            yield next(ratios)


def looks(core: Core, count: int) -> float:
    """The share of looks that find the core shared."""
    return sum(core.look() for _ in range(count)) / count


@pytest.mark.parametrize("level", [0.05, 0.12, 3.0])
def test_a_core_of_its_own_is_never_shared_whatever_the_kind_of_cpu(level: float) -> None:
    assert looks(Core(noisy(level, 0)), 500) == 0


def test_a_neighbour_is_seen_from_its_first_moment_to_its_last() -> None:
    core = Core(chained((0.12, 200), (0.16, 300), (0.12, 200)))
    assert looks(core, 200) == 0
    assert looks(core, 300) > 0.99
    assert looks(core, 200) == 0


def test_who_starts_beside_a_neighbour_learns_as_soon_as_it_leaves() -> None:
    core = Core(chained((0.16, 100), (0.12, 40), (0.16, 100)))
    assert looks(core, 100) == 0
    looks(core, 40)
    assert looks(core, 100) > 0.99


def test_the_clock_speed_cancels() -> None:
    """Both kinds of work are real here; only that they give a plausible ratio is certain."""
    ratio = Contention()._ratio()
    assert 0 < ratio < 10
    assert LIMIT > 1

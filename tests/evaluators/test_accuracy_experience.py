"""What earlier candidates tell: the bound is certain, the estimate mostly right."""

from itertools import product

import numpy as np
import pytest

from paretune.evaluators.accuracy.experience import Experience, forecast
from paretune.evaluators.intervals import Scores

TOTAL = 600


class Model:
    """fp32 errs on a tenth; compressed models flip samples near the border, each as it likes."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.before = (self._rng.random(TOTAL) < 0.9).astype(float)
        self._sure = self._rng.exponential(1.0, TOTAL)

    def candidate(self) -> Scores:
        strength = self._rng.uniform(0.05, 0.3)
        flipped = self._rng.random(TOTAL) < np.exp(-self._sure / strength)
        return np.where(flipped, 1 - self.before, self.before)


def test_the_best_is_what_the_best_completion_gives() -> None:
    """By enumeration of all that the other samples may be."""
    before = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 1.0])
    experience = Experience(6, 1 - before)
    rows = np.array([4, 1, 0])
    for seen in product((0.0, 1.0), repeat=3):
        gains = np.array(seen) - before[rows]
        found = forecast(experience, rows, gains).best
        best = max(sum(seen) + sum(rest) - before.sum() for rest in product((0.0, 1.0), repeat=3))
        assert found == pytest.approx(best / 6)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_is_never_passed_and_only_comes_closer(seed: int) -> None:
    model = Model(seed)
    experience = Experience(TOTAL, 1 - model.before)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        gains = model.candidate() - model.before
        order = rng.permutation(TOTAL)
        bests = [
            forecast(experience, order[:n], gains[order[:n]]).best for n in range(1, TOTAL, 50)
        ]
        known = [best for best in bests if best is not None]
        assert len(known) == len(bests)
        assert min(known) >= gains.mean() - 1e-12
        assert known == sorted(known, reverse=True)
        experience.add(np.arange(TOTAL), gains)


def test_all_run_is_all_known() -> None:
    model = Model(0)
    experience = Experience(TOTAL, 1 - model.before)
    experience.add(np.arange(TOTAL), model.candidate() - model.before)
    gains = model.candidate() - model.before
    found = forecast(experience, np.arange(TOTAL), gains)
    assert (found.gains.mean(), found.error) == (gains.mean(), 0.0)
    assert found.best == pytest.approx(gains.mean())


def test_estimates_are_mostly_right_and_close_to_the_best_with_the_heaviest_samples() -> None:
    """Of candidates that lose anything from next to nothing to a tenth."""
    covered, apart, errors, plain = 0, [], [], []
    for seed in range(10):
        model = Model(seed)
        experience = Experience(TOTAL, 1 - model.before)
        for _ in range(8):
            experience.add(np.arange(TOTAL), model.candidate() - model.before)
        rng = np.random.default_rng(seed)
        for _ in range(20):
            gains = model.candidate() - model.before
            rows = np.argsort(-experience.weight(), kind="stable")[: TOTAL // 4]
            found = forecast(experience, rows, gains[rows])
            assert found.best is not None
            covered += abs(found.gains.mean() - gains.mean()) <= 1.96 * found.error
            errors.append(found.gains.mean() - gains.mean())
            apart.append(found.best - gains.mean())
            plain.append(gains[rng.permutation(TOTAL)[: TOTAL // 4]].mean() - gains.mean())
            experience.add(rows, gains[rows])
    assert covered >= 0.9 * 200
    assert np.std(errors) < np.std(plain)
    # Of 0.9, if any sample could run first.
    assert np.mean(apart) < 0.06


def test_no_limit_no_best() -> None:
    experience = Experience(10, None)
    assert forecast(experience, np.arange(3), np.ones(3)).best is None
    assert not experience.weight().any()
    # A score that passes the limit shows that it is none.
    limited = Experience(10, np.full(10, 0.5))
    assert forecast(limited, np.arange(3), np.full(3, 0.6)).best is None


def test_samples_that_can_be_gained_and_those_often_lost_weigh_most() -> None:
    before = np.array([1.0, 1.0, 0.0, 1.0, 0.0])
    experience = Experience(5, 1 - before)
    for _ in range(10):
        experience.add(np.arange(5), np.array([0.0, -1.0, 0.0, 0.0, 1.0]))
    assert list(np.argsort(-experience.weight(), kind="stable")[:2]) == [2, 1]
    assert experience.weight().sum() == pytest.approx(1.0)
    assert experience.weight()[4] < 0.1

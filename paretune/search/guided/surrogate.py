"""The surrogate: a Gaussian process over policies, from a few hundred trials in milliseconds.

The prior is a sum: effects of options and of pairs of neighbouring knobs, shared by all layers and
special to each (`features`); a product of any two knobs; and what depends on all of them at once.
The first part is linear in known columns, so that a draw of it is a table for each layer, which
dynamic programming can minimize exactly (`chain`). Variances follow from the marginal likelihood,
group by group (MacKay, Neural Computation 4:415, 1992), shrunk towards those of their siblings.
"""

from functools import cached_property
from itertools import product

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from paretune.search.guided.arrays import Floats, Indices
from paretune.search.guided.features import Features
from paretune.search.guided.kernel import Kernel, Variances
from paretune.search.guided.learning import learn, noise_levels, start
from paretune.search.guided.structure import Structure
from paretune.search.guided.warp import Shape, Warp

TRIED: tuple[tuple[Shape, bool], ...] = (
    ("plain", False),
    ("root", False),
    ("logarithm", False),
    ("logit", False),
    ("ceiling", True),
)
"""Warps, and whether the noise grows with the values: what is near a ceiling is told badly."""

SIBLINGS = (0.3, 2.0)
"""How much layers may differ: a few strange ones, or all of a kind."""

GLANCE, CHOOSE, LEARN = 80, 150, 300
"""Trials that warps are compared by, at first and then, and that variances are learned from; the
posterior takes all."""

FINALISTS = 3
"""Warps that are looked at closely."""


class Surrogate:
    """One objective, as the trials tell it. Build it with `fit`.

    Attributes:
        warp: the scale that it works on.
        kernel: the prior.
    """

    def __init__(self, kernel: Kernel, warp: Warp, phi: Floats, y: Floats, relative: bool) -> None:
        """Args:
        phi: columns of the trials, shape (trials, columns).
        y: shape (trials,).
        relative: whether the noise grows with the values.
        """
        self.kernel = kernel
        self.warp = warp
        self.relative = relative
        self._phi = phi
        self._y, self._z = y, warp(y)
        # All but what the columns explain.
        self._rest = kernel.rest(phi, phi)
        levels = noise_levels(self._z, relative)
        self._rest[np.diag_indices_from(self._rest)] += kernel.variances.noise * levels
        self._factor: Floats = cholesky(kernel.linear(phi, phi) + self._rest, lower=True)
        self._alpha: Floats = cho_solve((self._factor, True), self._z)

    @staticmethod
    def fit(
        structure: Structure, x: Indices, y: Floats, before: "Surrogate | None" = None
    ) -> "Surrogate":
        """Learn from trials.

        Args:
            x: option indices, shape (trials, knobs).
            y: shape (trials,).
            before: fitted to nearly the same trials; its variances and its warp are improved on.
        """
        if before is None or not before._may_lead_to(y):
            before = _chosen(structure, x, y)
        warp = Warp.of(y, before.warp.shape)
        features = before.kernel.features
        if before._keeps_its_profiles:
            features = Features(structure, before.profiles())
        phi, some, relative = features(x), _some(len(x), LEARN), before.relative
        z = warp(y[some])
        levels = noise_levels(z, relative)
        learned = learn(features, phi[some], z, levels, before.kernel.variances, 2)
        return Surrogate(Kernel(features, learned), warp, phi, y, relative)

    def foresight(self) -> float:
        """How well each trial is told by all others: the sum of log densities, up to a constant.

        Leave-one-out predictions in closed form (Rasmussen and Williams, GPML, 2006, 5.4.2).
        """
        inverse = cho_solve((self._factor, True), np.eye(len(self._z)))
        precision = np.diag(inverse)
        densities = 0.5 * (np.log(precision) - self._alpha**2 / precision)
        return float((densities + np.log(self.warp.slope(self._y))).sum())

    def profiles(self) -> dict[int, Floats]:
        """Of each kind of knob, the mean effects of its options; the largest is 1.

        A kind whose options do nothing has no profile.
        """
        features, structure = self.kernel.features, self.kernel.features.structure
        weights = features.scale * self.kernel.column * (self._phi.T @ self._alpha)
        found = {}
        for kind, shared in features.shared.items():
            knobs = [k for k, other in enumerate(structure.kinds) if other == kind]
            options = np.arange(structure.sizes[knobs[0]])
            effects = weights[shared + options]
            effects += np.mean([weights[features.own[k] + options] for k in knobs], axis=0)
            if kind in features.profiles:
                strength = np.mean([weights[features.strengths[k]] for k in knobs])
                effects += strength * features.profiles[kind]
            for knob in knobs:
                for weight, table in features.clue_weights(weights, knob):
                    effects += weight * table / len(knobs)
            effects -= effects[0]
            if largest := np.abs(effects).max():
                found[kind] = effects / largest
        return found

    def _may_lead_to(self, y: Floats) -> bool:
        """Not if it was the same everywhere, and now varies: nothing was learned then."""
        return self._keeps_its_profiles and (bool(np.ptp(self._y)) or not np.ptp(y))

    @cached_property
    def _keeps_its_profiles(self) -> bool:
        """Whether the same kinds have one as in the prior, so that its variances still fit."""
        return self.profiles().keys() == self.kernel.features.profiles.keys()

    def posterior(self, x: Indices) -> tuple[Floats, Floats]:
        """What is known of policies, without the noise of observing them.

        Args:
            x: option indices, shape (policies, knobs).

        Returns:
            mean, shape (policies,), and joint covariance, shape (policies, policies), in the units
            of `y`; to first order, where the warp is bent.
        """
        mean, covariance = self.warped_posterior(x)
        level = self.warp.back(mean)
        stretch = 1 / self.warp.slope(level)
        return level, covariance * np.outer(stretch, stretch)

    def warped_posterior(self, x: Indices) -> tuple[Floats, Floats]:
        """The same on the warped scale, where it is Gaussian."""
        phi = self.kernel.features(x)
        cross = self.kernel(self._phi, phi)
        half = solve_triangular(self._factor, cross, lower=True)
        return cross.T @ self._alpha, self.kernel(phi, phi) - half.T @ half

    def spread(self, x: Indices) -> tuple[Floats, Floats]:
        """Mean and deviation of each policy on the warped scale; cheaper than all covariances."""
        phi = self.kernel.features(x)
        cross = self.kernel(self._phi, phi)
        half = solve_triangular(self._factor, cross, lower=True)
        left = self.kernel.level(phi) - (half**2).sum(axis=0)
        return cross.T @ self._alpha, np.sqrt(np.maximum(left, 1e-12))

    def weights(self, count: int, rng: np.random.Generator) -> Floats:
        """The posterior mean of the columns' weights, then draws of them, on the warped scale.

        By pathwise conditioning (Wilson et al., JMLR 22:105, 2021).

        Returns:
            shape (1 + count, columns).
        """
        column = self.kernel.column
        mean = column * (self._phi.T @ self._alpha)
        prior = rng.standard_normal((count, len(column))) * np.sqrt(column)
        root = cholesky(self._rest, lower=True)
        told = prior @ self._phi.T + rng.standard_normal((count, len(root))) @ root.T
        left = cho_solve((self._factor, True), (self._z - told).T)
        draws = prior + column * (self._phi.T @ left).T
        return np.vstack([mean, draws])


def _chosen(structure: Structure, x: Indices, y: Floats) -> Surrogate:
    """The warp and the priors that predict the trials best: a glance at all, a look at a few."""
    few = _some(len(x), GLANCE)
    plain = Features(structure)
    phi = plain(x[few])
    glanced: list[tuple[float, Surrogate]] = []
    for (shape, relative), siblings in product(TRIED, SIBLINGS):
        begin, warp = start(plain, siblings), Warp.of(y, shape)
        found = _fitted(plain, begin, warp, phi, y[few], relative, 4)
        glanced.append((found.foresight(), found))
    glanced.sort(key=lambda one: -one[0])
    few = _some(len(x), CHOOSE)
    looked: list[tuple[float, Surrogate]] = []
    for _, first in glanced[:FINALISTS]:
        features = Features(structure, first.profiles())
        begin = start(features, first.kernel.variances.siblings)
        found = _fitted(features, begin, first.warp, features(x[few]), y[few], first.relative, 6)
        looked.append((found.foresight(), found))
    return max(looked, key=lambda one: one[0])[1]


def _some(count: int, most: int) -> Indices:
    """At most `most` of `count` rows, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _fitted(
    features: Features,
    variances: Variances,
    warp: Warp,
    phi: Floats,
    y: Floats,
    relative: bool,
    rounds: int,
) -> Surrogate:
    z = warp(y)
    learned = learn(features, phi, z, noise_levels(z, relative), variances, rounds)
    return Surrogate(Kernel(features, learned), warp, phi, y, relative)

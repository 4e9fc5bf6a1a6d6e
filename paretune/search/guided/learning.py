"""Learning the variances of the prior from trials."""

import numpy as np
from scipy.linalg import cho_solve, cholesky

from paretune.search.guided.arrays import Floats
from paretune.search.guided.features import Features
from paretune.search.guided.kernel import Kernel, Variances

_LEAST_NOISE = 1e-4
_SURE = 0.02

_BELIEF = 0.1
"""Trials' worth of belief in what variances begin with. Without it a few trials are explained by
whatever fits first, and with far too much confidence."""


def start(features: Features, siblings: float) -> Variances:
    """Every family of groups has the same share of the variance, to begin with.

    Args:
        siblings: as in `Variances`.
    """
    family = np.array(features.family)
    return Variances(0.3 / np.bincount(family)[family], siblings)


def learn(
    features: Features,
    phi: Floats,
    z: Floats,
    levels: Floats,
    variances: Variances,
    rounds: int,
) -> Variances:
    """Better variances: several rounds of MacKay's fixed point, group by group.

    What is found is the most probable, given trials and a belief in `start`.

    Args:
        phi: columns of the trials, shape (trials, columns).
        z, levels: values and noise of the trials, shape (trials,).
    """
    family = np.array(features.family)
    first = start(features, variances.siblings)
    level_first = np.bincount(family, first.groups) / np.bincount(family)
    for _ in range(rounds):
        kernel = Kernel(features, variances)
        gram = kernel(phi, phi)
        gram[np.diag_indices_from(gram)] += variances.noise * levels
        factor = cholesky(gram, lower=True)
        inverse = cho_solve((factor, True), np.eye(len(z)))
        alpha = inverse @ z
        fit = (phi.T @ alpha) ** 2
        freedom = np.einsum("ij,ij->j", phi, inverse @ phi)
        found = variances.groups**2 * np.bincount(features.group, fit, features.groups)
        known = variances.groups * np.bincount(features.group, freedom, features.groups)
        # A family that explains nothing fades away, and so do its groups.
        level = (np.bincount(family, found) + _BELIEF * level_first) / (
            np.bincount(family, known) + _BELIEF
        )
        siblings = variances.siblings
        groups = (siblings * level[family] + found) / (siblings + known)
        products, whole = kernel.others(phi, phi)

        def better(
            now: float, begin: float, part: Floats, alpha: Floats = alpha, inverse: Floats = inverse
        ) -> float:
            found = now**2 * (alpha @ part @ alpha) + _BELIEF * begin
            return float(found / (now * (inverse * part).sum() + _BELIEF))

        noise = better(variances.noise, first.noise, np.diag(levels))
        variances = Variances(
            groups=np.clip(groups, 1e-8, 1e2),
            siblings=siblings,
            products=min(better(variances.products, first.products, products), 1e2),
            whole=min(better(variances.whole, first.whole, whole), 1e2),
            noise=float(np.clip(noise, _LEAST_NOISE, 1.0)),
        )
    return variances


def noise_levels(z: Floats, relative: bool) -> Floats:
    """Of the noise, on average 1: the same for all, or in proportion to how high a value is."""
    if not relative:
        return np.ones(len(z))
    found: Floats = (_SURE + (z - z.min()) / (float(np.ptp(z)) or 1.0)) ** 2
    return found / float(found.mean())

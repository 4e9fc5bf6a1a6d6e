"""Learning the variances of the prior from trials."""

import numpy as np
from scipy.linalg import cho_solve, cholesky

from paretune.search.guided.arrays import Floats
from paretune.search.guided.features import Features
from paretune.search.guided.kernel import Kernel, Variances

_LEAST_NOISE = 1e-4
_SURE = 0.02


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

    Args:
        phi: columns of the trials, shape (trials, columns).
        z, levels: values and noise of the trials, shape (trials,).
    """
    family = np.array(features.family)
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
        level = (np.bincount(family, found) + 1e-6) / (np.bincount(family, known) + 1e-3)
        belief = variances.siblings
        groups = (belief * level[family] + found) / (belief + known)
        products, whole = kernel.others(phi, phi)

        def ratio(part: Floats, alpha: Floats = alpha, inverse: Floats = inverse) -> float:
            return float((alpha @ part @ alpha + 1e-6) / ((inverse * part).sum() + 1e-6))

        noisy = (levels @ alpha**2) / (levels @ np.diag(inverse))
        variances = Variances(
            groups=np.clip(groups, 1e-8, 1e2),
            siblings=belief,
            products=float(np.clip(variances.products * ratio(products), 1e-6, 1e2)),
            whole=float(np.clip(variances.whole * ratio(whole), 1e-6, 1e2)),
            noise=float(np.clip(variances.noise * noisy, _LEAST_NOISE, 1.0)),
        )
    return variances


def noise_levels(z: Floats, relative: bool) -> Floats:
    """Of the noise, on average 1: the same for all, or in proportion to how high a value is."""
    if not relative:
        return np.ones(len(z))
    found: Floats = (_SURE + (z - z.min()) / (float(np.ptp(z)) or 1.0)) ** 2
    return found / float(found.mean())

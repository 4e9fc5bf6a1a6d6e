"""Per-sample scores of class scores: top-1 and KL divergence.

Class scores have shape (samples, ..., classes): the positions between the first and the last
dimension (tokens of a sequence, say) are averaged within each sample.
"""

from collections.abc import Mapping

import numpy as np

from paretune.errors import UserError
from paretune.evaluators.data import Array
from paretune.evaluators.intervals import Scores

_SMALLEST = 1e-7
"""Probabilities below it count as this: quantized ones may be 0, whose logarithm is not finite."""


def class_scores(outputs: Mapping[str, Array], name: str, samples: int) -> Array:
    """The output `name`, of shape (samples, ..., classes).

    Raises:
        UserError: it holds no class scores.
    """
    array = outputs.get(name)
    if array is None:
        raise UserError(f"evaluator 'accuracy': output '{name}' is no tensor")
    form = f"({samples}, ..., classes)"
    if (
        array.ndim < 2
        or len(array) != samples
        or array.shape[-1] < 2
        or not np.issubdtype(array.dtype, np.floating)
    ):
        raise UserError(
            f"evaluator 'accuracy': output '{name}' is {array.dtype} of shape {array.shape},"
            f" but class scores are floats of shape {form}; choose another with 'output', or give a"
            " metric of your own with 'functions'"
        )
    return array


def check_targets(targets: Array | None, scores: Array, split: str) -> Array:
    """The targets, if they are class indices for `scores`, shape `scores.shape[:-1]`.

    Raises:
        UserError: they are not.
    """
    where = f"data: targets of '{split}'"
    if targets is None:
        raise UserError(
            f"{where} are missing, but accuracy needs them; without labels, 'agreement' and"
            " 'divergence' compare with the fp32 model"
        )
    if targets.dtype.kind not in "iu":
        raise UserError(
            f"{where} must be class indices (integers), but their dtype is {targets.dtype}"
        )
    if targets.shape != scores.shape[:-1]:
        raise UserError(
            f"{where} have shape {targets.shape}, but class scores of shape {scores.shape} need"
            f" {scores.shape[:-1]}"
        )
    classes = scores.shape[-1]
    outside = targets[(targets < 0) | (targets >= classes)]
    if outside.size:
        raise UserError(
            f"{where} must be in 0 to {classes - 1} ({classes} classes), but got {outside.flat[0]}"
        )
    return targets


def top_class(scores: Array) -> Array:
    """Index of the largest score, int32 of shape `scores.shape[:-1]`."""
    classes: Array = scores.argmax(axis=-1).astype(np.int32)
    return classes


def matches(classes: Array, others: Array) -> Scores:
    """Share of positions with equal class, shape (samples,)."""
    equal = classes == others
    shares: Scores = equal.reshape(len(equal), -1).mean(axis=1, dtype=np.float64)
    return shares


def are_probabilities(scores: Array) -> bool:
    """Whether the scores have been through a softmax inside the model."""
    return bool((scores >= 0).all() and np.allclose(scores.sum(axis=-1), 1, atol=1e-3))


def log_probabilities(scores: Array, *, probabilities: bool) -> Array:
    """Logarithm of the softmax of `scores`, or of `scores` if they are probabilities; float32."""
    wide = scores.astype(np.float64)
    if probabilities:
        result = np.log(np.maximum(wide, _SMALLEST))
    else:
        shifted = wide - wide.max(axis=-1, keepdims=True)
        result = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    # The range of scores may be twice that of float32.
    rounded: Array = np.maximum(result, np.finfo(np.float32).min).astype(np.float32)
    return rounded


def kl_divergence(reference: Array, candidate: Array) -> Scores:
    """KL(reference ‖ candidate) in nats, averaged over positions, shape (samples,).

    Args:
        reference, candidate: log-probabilities of shape (samples, ..., classes).
    """
    wide = reference.astype(np.float64)
    terms = np.exp(wide) * (wide - candidate)
    # Rounding may leave a hair below 0, which a divergence cannot be.
    positions = np.maximum(terms.sum(axis=-1), 0)
    divergences: Scores = positions.reshape(len(positions), -1).mean(axis=1)
    return divergences

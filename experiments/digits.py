"""A small CNN on scikit-learn's handwritten digits: trains in seconds, nothing to download."""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from paretune.evaluators import Splits, from_arrays

if TYPE_CHECKING:
    from torch import Tensor, nn

Arrays = tuple[NDArray[np.float32], NDArray[np.int64]]


def model() -> "tuple[nn.Module, dict[str, Tensor]]":
    """The trained network, and one example `image` of shape (2, 1, 8, 8)."""
    import torch

    from experiments.networks.small_cnn import small_cnn
    from experiments.training import Recipe, fit, reproducible

    images, labels = _parts()["train"]
    with reproducible(seed=0, threads=1):
        network = small_cnn()
        recipe = Recipe(epochs=10, batch_size=64, max_rate=3e-3)
        fit(network, torch.from_numpy(images), torch.from_numpy(labels), recipe)
    return network, {"image": torch.from_numpy(images[:2])}


def data() -> Splits:
    """897 training images (128 of them for calibration), 450 to search with, 450 to test with."""
    parts = _parts()
    return Splits(
        calibration=from_arrays({"image": parts["train"][0][:128]}, batch_size=32),
        search=from_arrays({"image": parts["search"][0]}, parts["search"][1], batch_size=64),
        test=from_arrays({"image": parts["test"][0]}, parts["test"][1], batch_size=64),
    )


@cache
def _parts() -> dict[str, Arrays]:
    """Images of shape (n, 1, 8, 8) in [0, 1] with their labels of shape (n,)."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    labels = labels.astype(np.int64)
    held, train = _split(images, labels, 900)
    search, test = _split(*held, 450)
    return {"train": train, "search": search, "test": test}


def _split(
    images: NDArray[np.float32], labels: NDArray[np.int64], size: int
) -> tuple[Arrays, Arrays]:
    """`size` samples and the rest, each with the same share of every digit."""
    a, b, labels_a, labels_b = train_test_split(
        images, labels, train_size=size, stratify=labels, random_state=0
    )
    return (a, labels_a), (b, labels_b)

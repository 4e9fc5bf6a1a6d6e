"""A residual network on Fashion-MNIST: trains in two to three minutes, once."""

import gzip
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paretune.errors import UserError
from paretune.evaluators import Splits, from_arrays

if TYPE_CHECKING:
    from torch import Tensor, nn

FOLDER = Path("/usr/share/datasets/fashion-mnist")
SEARCH_SIZE = 2_000
CALIBRATION_SIZE = 256


def model() -> "tuple[nn.Module, dict[str, Tensor]]":
    """The trained ResNet-8, and one example `image` of shape (2, 1, 28, 28).

    Raises:
        UserError: the data is missing.
    """
    import torch

    from experiments.cache import cached
    from experiments.networks.resnet import resnet8
    from experiments.training import Recipe, fit, reproducible

    pixels, labels = _read("train")
    recipe = Recipe(epochs=4, batch_size=128, max_rate=1e-2)

    def train() -> "dict[str, Tensor]":
        images = torch.from_numpy(_normalized(pixels[:-SEARCH_SIZE]))
        with reproducible(seed=0, threads=2):
            network = resnet8()
            fit(network, images, torch.from_numpy(labels[:-SEARCH_SIZE]), recipe)
        return network.state_dict()

    network = resnet8()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    network.load_state_dict(cached("fashion_resnet", (recipe, shapes), train))
    return network.eval(), {"image": torch.from_numpy(_normalized(pixels[:2]))}


def data() -> Splits:
    """256 training images to calibrate with, 2,000 that were kept out of training, 10,000 of test.

    Raises:
        UserError: the data is missing.
    """
    train, train_labels = _read("train")
    test, test_labels = _read("t10k")
    calibration, search = train[:CALIBRATION_SIZE], train[-SEARCH_SIZE:]
    return Splits(
        calibration=from_arrays({"image": _normalized(calibration)}, batch_size=64),
        search=from_arrays(
            {"image": _normalized(search)}, train_labels[-SEARCH_SIZE:], batch_size=250
        ),
        test=from_arrays({"image": _normalized(test)}, test_labels, batch_size=250),
    )


def _normalized(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Shape (n, 28, 28) to (n, 1, 28, 28), mean 0 and deviation 1 over the training images."""
    return (pixels[:, None].astype(np.float32) - np.float32(72.9)) / np.float32(90.0)


def _read(part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images of shape (n, 28, 28) with their labels of shape (n,)."""
    folder = Path(os.environ.get("PARETUNE_FASHION_MNIST", FOLDER))
    files = [folder / f"{part}-images-idx3-ubyte.gz", folder / f"{part}-labels-idx1-ubyte.gz"]
    if missing := [str(file) for file in files if not file.is_file()]:
        raise UserError(
            f"fashion_resnet needs the Fashion-MNIST files, but there is no {missing[0]}:"
            " apt-get install dataset-fashion-mnist, or set PARETUNE_FASHION_MNIST to the folder"
            " that holds the four .gz files"
        )
    pixels, labels = (_idx(file) for file in files)
    return pixels, labels.astype(np.int64)


def _idx(file: Path) -> NDArray[np.uint8]:
    """The array in a gzipped IDX file of bytes (http://yann.lecun.com/exdb/mnist)."""
    try:
        raw = gzip.decompress(file.read_bytes())
        shape = np.frombuffer(raw, ">i4", count=raw[3], offset=4)
        return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)
    except (OSError, EOFError, zlib.error, IndexError, ValueError) as error:
        raise UserError(f"{file} is not a whole gzipped IDX file: {error}") from error

import numpy as np
import pytest
import torch
from torch import nn

from experiments import digits
from paretune.evaluators import Batch, Splits


@pytest.fixture(scope="module")
def splits() -> Splits:
    return digits.data()


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    return digits.model()


def test_the_network_learns(
    trained: tuple[nn.Module, dict[str, torch.Tensor]], splits: Splits
) -> None:
    network, _ = trained
    right = [_right(network, batch) for batch in splits.search]
    assert np.concatenate(right).mean() > 0.97


def test_the_example_has_the_datas_input_names(
    trained: tuple[nn.Module, dict[str, torch.Tensor]], splits: Splits
) -> None:
    network, example = trained
    assert not network.training
    assert example.keys() == splits.search[0].inputs.keys()
    assert example["image"].shape == (2, 1, 8, 8)


def test_the_splits_share_no_image(splits: Splits) -> None:
    calibration, search, test = (
        {image.tobytes() for batch in split for image in batch.inputs["image"]}
        for split in (splits.calibration, splits.search, splits.test)
    )
    assert (len(calibration), len(search), len(test)) == (128, 450, 450)
    assert not (calibration & search or calibration & test or search & test)


def test_every_digit_is_in_every_labelled_split(splits: Splits) -> None:
    for split in (splits.search, splits.test):
        labels = [batch.targets for batch in split if batch.targets is not None]
        assert set(np.concatenate(labels)) == set(range(10))


def _right(network: nn.Module, batch: Batch) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    with torch.no_grad():
        logits = network(torch.from_numpy(batch.inputs["image"]))
    right: np.ndarray[tuple[int], np.dtype[np.bool_]] = logits.argmax(1).numpy() == batch.targets
    return right

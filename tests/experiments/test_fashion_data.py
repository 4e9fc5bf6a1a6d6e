import gzip
from pathlib import Path

import numpy as np
import pytest

from experiments import fashion_resnet
from paretune.errors import UserError


def write_idx(file: Path, array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    file.write_bytes(gzip.compress(header + array.tobytes(), compresslevel=1))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """2,300 training and 30 test images of noise; image number i has the label i % 10."""
    rng = np.random.default_rng(0)
    for part, size in (("train", 2_300), ("t10k", 30)):
        images = rng.integers(0, 256, (size, 28, 28), np.uint8)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        labels = np.arange(size, dtype=np.int64) % 10
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", labels.astype(np.uint8))
    monkeypatch.setenv("PARETUNE_FASHION_MNIST", str(tmp_path))
    return tmp_path


def test_the_splits_share_no_image(folder: Path) -> None:
    splits = fashion_resnet.data()
    calibration, search, test = (
        {image.tobytes() for batch in split for image in batch.inputs["image"]}
        for split in (splits.calibration, splits.search, splits.test)
    )
    assert (len(calibration), len(search), len(test)) == (256, 2_000, 30)
    assert not (calibration & search or calibration & test or search & test)


def test_labels_stay_with_their_images(folder: Path) -> None:
    splits = fashion_resnet.data()
    targets = [batch.targets for batch in splits.search if batch.targets is not None]
    assert np.array_equal(np.concatenate(targets), np.arange(300, 2_300) % 10)
    image = splits.test[0].inputs["image"]
    assert image.shape[1:] == (1, 28, 28)
    assert image.dtype == np.float32


def test_missing_files_are_one_clear_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARETUNE_FASHION_MNIST", str(tmp_path / "nowhere"))
    for function in (fashion_resnet.data, fashion_resnet.model):
        with pytest.raises(UserError, match="apt-get install dataset-fashion-mnist") as raised:
            function()
        assert "nowhere" in str(raised.value)
        assert "PARETUNE_FASHION_MNIST" in str(raised.value)


@pytest.mark.parametrize("keep", [0, 5, 500])
def test_a_truncated_file_is_one_clear_message(folder: Path, keep: int) -> None:
    file = folder / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"train-images.* is not a whole gzipped IDX file"):
        fashion_resnet.data()


def test_a_file_of_the_wrong_size_is_one_clear_message(folder: Path) -> None:
    file = folder / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-1]))
    with pytest.raises(UserError, match=r"t10k-images.* is not a whole gzipped IDX file"):
        fashion_resnet.data()

"""A recognizer of printed text that exists as ONNX only: PP-OCR, on rendered lines of text."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from experiments.ctc import encode
from experiments.packages import packaged
from experiments.text_lines import random_line, render
from paretune.evaluators import Batch, Splits, from_arrays

SIZES = {"calibration": 64, "search": 300, "test": 500}


def model() -> Path:
    """The recognizer inside the package rapidocr: `x` of shape (n, 3, 48, width) to CTC scores.

    Raises:
        UserError: the package is missing.
    """
    return packaged("ppocr_lines", "rapidocr", "rapidocr/models/PP-OCRv6_rec_small.onnx")


def data() -> Splits:
    """64 lines to calibrate with, 300 to search with, 500 to test with; always the same ones.

    Raises:
        UserError: the package is missing.
    """
    return _lines(SIZES)


def many() -> Splits:
    """The same with 3,000 lines to test with: half a percent can be told on those.

    Raises:
        UserError: the package is missing.
    """
    return _lines({**SIZES, "test": 3000})


def _lines(sizes: Mapping[str, int]) -> Splits:
    metadata = {entry.key: entry.value for entry in onnx.load(model()).metadata_props}
    # PP-OCR reads a space as the class after the listed ones.
    symbols = [*metadata["character"].split("\n"), " "]
    rng = np.random.default_rng(0)
    return Splits(**{name: _batches(size, symbols, rng) for name, size in sizes.items()})


def _batches(size: int, symbols: list[str], rng: np.random.Generator) -> list[Batch]:
    lines = [random_line(rng) for _ in range(size)]
    grey = np.stack([render(line, rng) for line in lines])
    images = (grey.astype(np.float32) / 127.5 - 1)[:, None].repeat(3, axis=1)
    return from_arrays({"x": images}, encode(lines, symbols), batch_size=10)

"""Making one candidate: Paretune's `apply` against ONNX Runtime's `quantize_static`.

Both start from the same fp32 graph and the same calibration data. `quantize_static` calibrates anew
for every candidate; Paretune did so once, when it prepared the model, and stitches. The policies
are drawn evenly from the experiment's whole space, from an empty store of compressed weights.

Run: python -m experiments.benchmarks.apply_cost
"""

import json
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from experiments.benchmarks.setting import config_of, random_policies
from paretune.evaluators import Batch
from paretune.search.workbench import load_data, prepare

EXPERIMENTS = ("fashion_resnet", "minilm_reuters")
POLICIES = 40
REPEATS = 3


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Sequence[Batch], names: set[str]) -> None:
        self.left: Iterator[Any] = iter(
            [{n: a for n, a in batch.inputs.items() if n in names} for batch in batches]
        )

    def get_next(self) -> Any:
        return next(self.left, None)


def main() -> None:
    logging.disable(logging.WARNING)
    ratios: dict[str, float] = {}
    heads = ("apply, ms", "first, ms", "quantize_static, ms", "ratio")
    print(f"{'experiment':16}{heads[0]:>14}{heads[1]:>12}{heads[2]:>22}{heads[3]:>8}")
    for name in EXPERIMENTS:
        with tempfile.TemporaryDirectory() as folder:
            apply_ms, first_ms, static_ms = _compare(name, Path(folder))
        ratios[name] = round(static_ms / apply_ms, 1)
        print(f"{name:16}{apply_ms:14.1f}{first_ms:12.1f}{static_ms:22.1f}{ratios[name]:8.1f}")
    print(json.dumps(ratios))


def _compare(name: str, folder: Path) -> tuple[float, float, float]:
    """Median milliseconds of `apply`, those of its first call, and of `quantize_static`."""
    config = config_of(name, folder)
    splits = load_data(config)
    prepared, space = prepare(config, splits)
    reference = prepared.reference.path
    applied = []
    for policy in random_policies(space, POLICIES):
        start = time.perf_counter()
        prepared.apply(policy, folder / "ours.onnx")
        applied.append(1e3 * (time.perf_counter() - start))
    static = []
    names = set(splits.calibration[0].inputs)
    for _ in range(REPEATS):
        start = time.perf_counter()
        quantize_static(
            reference,
            folder / "theirs.onnx",
            _Reader(splits.calibration, names),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        static.append(1e3 * (time.perf_counter() - start))
    return statistics.median(applied), applied[0], statistics.median(static)


if __name__ == "__main__":
    main()

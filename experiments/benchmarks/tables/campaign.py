"""What is measured exhaustively: an experiment's model with a space small enough to walk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.laboratory import Laboratory
from paretune.evaluators import Batch, Splits, from_arrays
from paretune.search.config import PluginSection, SpaceSection

METRICS = ("accuracy", "divergence", "size_bytes", "latency_ratio")


@dataclass(frozen=True)
class Campaign:
    """One table.

    Attributes:
        experiment: whose model and data are used.
        objectives: of a search in the table, some of `METRICS`.
        space: the config's section.
        max_seconds: of sampling a latency once; warming up takes another 0.1 s.
    """

    experiment: str
    objectives: tuple[str, ...]
    space: Mapping[str, Any]
    max_seconds: float

    def laboratory(self, folder: Path) -> Laboratory:
        """The experiment on this space, its search split in two halves: `search` and `test`."""
        found = Laboratory.of(self.experiment, folder)
        latency = {"type": "latency", "batch": 1, "max_seconds": self.max_seconds}
        evaluators = tuple(map(PluginSection.model_validate, ({"type": "accuracy"}, latency)))
        config = found.config.model_copy(
            update={
                "space": SpaceSection.model_validate(self.space),
                "objectives": self.objectives,
                "metrics": METRICS,
                "constraints": (),
                "evaluators": evaluators,
            }
        )
        return Laboratory(config, halved(found.splits), folder)


def halved(splits: Splits) -> Splits:
    """Every second sample of the search split as `search`, the others as `test`."""
    return Splits(
        splits.calibration, _every_second(splits.search, 0), _every_second(splits.search, 1)
    )


def _every_second(batches: Sequence[Batch], first: int) -> list[Batch]:
    inputs = {
        name: np.concatenate([batch.inputs[name] for batch in batches])[first::2]
        for name in batches[0].inputs
    }
    targets = np.concatenate([batch.targets for batch in batches if batch.targets is not None])
    return from_arrays(inputs, targets[first::2], batch_size=batches[0].size)


_SMALL = ["fp32", "int8", "w2"]
_DIGITS = {
    "block1.0": {"precision": ["fp32", "int8"], "sparsity": ["channel:0.8333"]},
    "block2.0": {"precision": _SMALL, "sparsity": ["channel:0.5", "channel:0.8333"]},
    "block3.0": {"precision": _SMALL, "sparsity": ["channel:0.5", "channel:0.9167"]},
    "linear1": {"precision": ["fp32", "int8", "w4"], "sparsity": ["channel:0.75"]},
    "linear2": {"precision": ["fp32"]},
}

# What is fixed here is best so nearly always: shortcuts and the last layer cost little either way.
_FASHION = {
    "re:.*": {"precision": ["fp32", "int8"], "sparsity": ["dense"]},
    "re:.*shortcut.*": {"precision": ["int8"], "sparsity": ["dense"]},
    "linear": {"precision": ["fp32"], "sparsity": ["dense"]},
    "re:stem.0|block1.body.4": {"sparsity": ["channel:0.5"]},
    "block2.body.0": {"sparsity": ["channel:0.5", "channel:0.75"]},
    "block3.body.0": {"sparsity": ["channel:0.5", "channel:0.875"]},
}

CAMPAIGNS = {
    "digits": Campaign(
        "digits", ("accuracy", "latency_ratio", "size_bytes"), {"layers": _DIGITS}, 0.08
    ),
    "fashion_resnet": Campaign(
        "fashion_resnet", ("accuracy", "latency_ratio"), {"layers": _FASHION}, 0.15
    ),
}

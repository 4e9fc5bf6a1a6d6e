"""A table: every policy of a space, each measured twice; a Parquet file beside this one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from paretune.spaces.space import Knob

FOLDER = Path(__file__).parent
VERSION = 1
_KEY = b"paretune.table"
HALVES = ("a", "b")
FIGURES = (
    "accuracy",
    "divergence",
    "latency_ratio",
    "latency_ratio_low",
    "latency_ratio_high",
    "disturbed",
)
"""Of a half."""


@dataclass(frozen=True)
class Table:
    """What was measured.

    Attributes:
        knobs: with their options.
        objectives: of a search in it.
        rows: one a policy. Columns: the name of every knob, for the index of its option;
            `size_bytes`; and FIGURE_H for every one of `FIGURES` and H in `HALVES`: accuracy and
            divergence are on disjoint halves of the search split, the latency ratios with their
            95% intervals are of measurements at different times.
        about: how it was measured; JSON values.
    """

    knobs: tuple[Knob, ...]
    objectives: tuple[str, ...]
    rows: pd.DataFrame
    about: Mapping[str, Any]

    @property
    def indices(self) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
        """The policies: shape (policies, knobs)."""
        return self.rows[[knob.name for knob in self.knobs]].to_numpy(np.int64)

    def write(self, path: Path) -> None:
        """One Parquet file; figures as float32, more than enough for what was measured."""
        small = dict.fromkeys(self.rows.select_dtypes("float64").columns, "float32")
        small |= {knob.name: "int8" for knob in self.knobs}
        arrow = pa.Table.from_pandas(self.rows.astype(small), preserve_index=False)
        meta = {
            "version": VERSION,
            "knobs": {knob.name: knob.options for knob in self.knobs},
            "objectives": self.objectives,
            "about": self.about,
        }
        arrow = arrow.replace_schema_metadata({_KEY: json.dumps(meta).encode()})
        whole = path.with_suffix(".tmp")
        pq.write_table(arrow, whole, compression="zstd", compression_level=19)
        whole.replace(path)

    @staticmethod
    def read(path: Path) -> "Table":
        """Read what `write` wrote.

        Raises:
            ValueError: it is something else, or newer than this code.
        """
        arrow = pq.read_table(path)
        text = (arrow.schema.metadata or {}).get(_KEY)
        if text is None:
            raise ValueError(f"{path} is no table of this benchmark")
        meta = json.loads(text)
        if meta["version"] > VERSION:
            raise ValueError(f"{path} has version {meta['version']}, known is up to {VERSION}")
        knobs = tuple(Knob(name, tuple(options)) for name, options in meta["knobs"].items())
        return Table(knobs, tuple(meta["objectives"]), arrow.to_pandas(), meta["about"])


def joined(
    knobs: Sequence[Knob],
    indices: Sequence[Sequence[int]],
    measured: Mapping[tuple[int, int], Mapping[str, Any]],
) -> pd.DataFrame:
    """The rows of a table.

    Args:
        indices: of the policies, shape (policies, knobs).
        measured: (number of a policy, half) to its figures; all of them.
    """
    columns = {knob.name: [row[i] for row in indices] for i, knob in enumerate(knobs)}
    halves = [
        pd.DataFrame([measured[policy, half] for policy in range(len(indices))])
        for half in range(len(HALVES))
    ]
    sizes = halves[0]["size_bytes"]
    own = [half[list(FIGURES)].add_suffix(f"_{h}") for half, h in zip(halves, HALVES, strict=True)]
    return pd.concat([pd.DataFrame(columns), sizes, *own], axis=1)

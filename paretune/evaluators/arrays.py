"""Named arrays in one file, whatever their names are."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from paretune.evaluators.data import Array

_NAMES = "names"


def save_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays to an `.npz` file; names may hold any character.

    Args:
        arrays: of any dtype but object.
    """
    names = np.array(list(arrays), dtype=np.str_)
    parts = {f"arr_{i}": array for i, array in enumerate(arrays.values())}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **{_NAMES: names}, **parts)


def load_arrays(path: Path) -> dict[str, Array]:
    """Read what `save_arrays` wrote, in the same order; never unpickles.

    Raises:
        ValueError: it is something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {str(name): file[f"arr_{i}"] for i, name in enumerate(file[_NAMES])}
    except (OSError, KeyError, EOFError, AttributeError, TypeError) as error:
        raise ValueError(f"'{path}' holds no named arrays: {error}") from error

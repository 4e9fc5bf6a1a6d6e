"""What a user's data function may return by mistake."""

import warnings
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import numpy as np
import torch

from paretune.evaluators import Batch, Splits

SPLITS = ("calibration", "search", "test")
TYPES = ["f2", "f8", ">f4", "g", "i1", "i8", "u8", "c8", "?", "O", "U5", "S3", "V0", "M8[s]"]


class NoArray:
    """Fails when it is to become an array."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("disk on fire")


def changed(array: Any, rng: Random) -> Any:
    """An array in another form, of other values, or something else."""
    change: Callable[[Any, Random], Any] = rng.choice(_CHANGES)
    try:
        with warnings.catch_warnings(action="ignore"):
            return change(np.asarray(array), rng)
    except (TypeError, ValueError, IndexError, OverflowError, RuntimeError):
        # The array has been changed to something that cannot be changed like this.
        return array


def _other_value(array: Any, rng: Random) -> Any:
    values = [np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-45, -1, 4, 2**31, -(2**63), 2**62, 0]
    array = array.copy()
    array.flat[rng.randrange(max(array.size, 1))] = rng.choice(values)
    return array


def _everywhere(array: Any, rng: Random) -> Any:
    return np.full_like(array, rng.choice([0, 1, -1, 3, 100, np.nan, 1e30]))


def _other_shape(array: Any, rng: Random) -> Any:
    index = rng.choice(
        [0, (), (..., None), (None,), slice(0), slice(1), slice(-1), (..., slice(1))]
    )
    return array[index]


def _other_strides(array: Any, rng: Random) -> Any:
    return rng.choice(
        [
            array[::-1],
            np.asfortranarray(array),
            np.repeat(array, 2, axis=0)[::2],
            np.broadcast_to(array[:1], (500, *array.shape[1:])),
            np.broadcast_to(array[:1], array.shape),
        ]
    )


def _longer(array: Any, rng: Random) -> Any:
    return np.concatenate([array] * rng.choice([2, 3]), axis=rng.choice([0, -1]))


def _other_form(array: Any, rng: Random) -> Any:
    forms: list[Callable[[], Any]] = [
        array.tolist,
        lambda: [*array.tolist(), []],
        lambda: iter(array),
        lambda: np.ma.masked_array(array, array > 0),
        lambda: array.view(np.recarray),
        lambda: memoryview(array),
        lambda: torch.tensor(array, requires_grad=array.dtype.kind == "f"),
        lambda: {"x": array},
        lambda: np.array([("a", 1)], "U1,i4"),
        lambda: np.lib.stride_tricks.as_strided(array, array.shape, (0,) * array.ndim),
        NoArray,
        str,
        lambda: rng.choice([None, 3, NoArray, 10**400]),
    ]
    return rng.choice(forms)()


def _read_only(array: Any, _: Random) -> Any:
    array = array.copy()
    array.flags.writeable = False
    return array


_CHANGES: list[Callable[[Any, Random], Any]] = [
    lambda array, rng: array.astype(rng.choice(TYPES)),
    *[_other_value] * 6,
    *[_everywhere, _other_shape, _other_strides, _longer],
    *[_other_form, _read_only],
]


def good(kind: str, rng: np.random.Generator) -> dict[str, Any]:
    """Six samples, with targets under the name `targets`."""
    if kind == "mlp":
        x = rng.standard_normal((6, 8)).astype(np.float32)
        return {"x": x, "targets": rng.integers(0, 4, 6)}
    ids = rng.integers(0, 20, (6, 5))
    return {"ids": ids, "mask": np.ones((6, 5), np.float32), "targets": rng.integers(0, 3, 6)}


def batch(arrays: Mapping[Any, Any], rng: Random) -> Any:
    inputs = {name: array for name, array in arrays.items() if name != "targets"}
    targets = arrays.get("targets")
    match rng.randrange(40):
        case 0:
            return inputs, targets
        case 1:
            return inputs
        case 2:
            return rng.choice([None, 3, [], (inputs,), [inputs, targets], "batch", {}])
        case 3:
            return inputs, None
    return Batch(inputs, targets)


def odd_arrays(splits: Mapping[str, list[dict[Any, Any]]], rng: Random) -> None:
    """Change one array, or all of one name, or a name."""
    arrays = rng.choice(splits[rng.choice(SPLITS)])
    if not arrays:
        return
    name = rng.choice(list(arrays))
    match rng.randrange(10):
        case 0:
            del arrays[name]
        case 1:
            arrays[rng.choice([0, None, "", "y", ("x",), "é", f"{name} "])] = arrays.pop(name)
        case 2:
            arrays[rng.choice(["more", 1, "x"])] = arrays[name]
        case 3 | 4:
            for each in [one for split in splits.values() for one in split if name in one]:
                each[name] = changed(each[name], rng)
        case _:
            arrays[name] = changed(arrays[name], rng)


def mutated(kind: str, seed: int, rng: Random) -> Any:
    """Splits of which something is odd."""
    numbers = np.random.default_rng(seed)
    splits: dict[str, list[dict[Any, Any]]] = {
        name: [good(kind, numbers) for _ in range(2)] for name in SPLITS
    }
    for _ in range(rng.choice([0, 1, 1, 1, 2])):
        odd_arrays(splits, rng)
    made: dict[Any, Any] = {
        name: [batch(arrays, rng) for arrays in splits[name]] for name in SPLITS
    }
    match rng.randrange(16):
        case 0:
            made[rng.choice(SPLITS)] = rng.choice([[], None, 3, {}, "split"])
        case 1:
            made[rng.choice(["validation", 3])] = []
        case 2:
            return {name: iter(part) for name, part in made.items()}
        case 3:
            return rng.choice([None, list(made.values()), made["search"], Splits, "data", 3])
        case 4:
            return {name: part[0] for name, part in made.items()}
    return Splits(**made) if set(made) == set(SPLITS) else made

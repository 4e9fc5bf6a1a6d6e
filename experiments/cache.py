"""Keeping what took minutes to compute: arrays and weights in `runs/cache`."""

import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

log = logging.getLogger(__name__)

FOLDER = Path("runs/cache")


def cached(
    name: str, recipe: object, compute: Callable[[], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """The named tensors that `compute` returns, computed once and then read from disk.

    Args:
        recipe: all that decides the tensors; another `repr` is another file.
    """
    key = hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]
    path = FOLDER / f"{name}-{key}.pt"
    if not path.exists():
        log.info("computing %s once", path)
        tensors = dict(compute())
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(f".{os.getpid()}.tmp")
        torch.save(tensors, whole)
        whole.replace(path)
    return dict(torch.load(path, weights_only=True))

"""Training a small image classifier, the same way every time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained; `max_rate` is the learning rate at the top of the cycle."""

    epochs: int
    batch_size: int
    max_rate: float


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Seed torch and fix its threads inside the block, and put both back after it.

    The number of threads belongs to it: it decides the order in which sums are rounded.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)


def fit(model: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe) -> None:
    """Train in place with AdamW under a one-cycle schedule (Smith, arXiv:1708.07120).

    The model is left in eval mode.

    Args:
        model: images to logits of shape (n, classes).
        images: shape (n, channels, height, width), float32.
        labels: shape (n,), int64.
    """
    # The last, smaller batch of an epoch is left out: it would upset the batch statistics.
    steps = len(images) // recipe.batch_size
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.max_rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.max_rate, total_steps=recipe.epochs * steps
    )
    model.train()
    for epoch in range(recipe.epochs):
        total = 0.0
        for rows in torch.split(torch.randperm(len(images)), recipe.batch_size)[:steps]:
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        log.info("epoch %d of %d: loss %.4f", epoch + 1, recipe.epochs, total / steps)
    model.eval()

"""What a model is fed while its speed, memory or energy is measured."""

from pathlib import Path

import numpy as np

from paretune.errors import UserError
from paretune.evaluators.data import Array, Batch
from paretune.evaluators.signature import model_inputs


def first_samples(batch: Batch, size: int) -> dict[str, Array]:
    """The first `size` samples of a batch, repeated from the start where it has fewer.

    A batch of this size is taken as it is, so that inputs may also have no dimension for samples.
    """
    if size == batch.size:
        return dict(batch.inputs)
    rows = np.arange(size) % batch.size
    return {name: array[rows] for name, array in batch.inputs.items()}


def check_batch_size(model: Path, batch: int, what: str) -> None:
    """See that a model takes so many samples at once.

    Args:
        what: set the size, such as `evaluator 'latency': 'batch'`; for the message.

    Raises:
        UserError: an input is fixed to another size.
    """
    for given in model_inputs(model):
        fixed = given.shape[0] if given.shape else None
        if given.required and fixed is not None and fixed != batch:
            raise UserError(f"{what} is {batch}, but the model's input {given} takes only {fixed}")

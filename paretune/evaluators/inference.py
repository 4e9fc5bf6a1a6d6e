"""Running an ONNX file over batches."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from paretune.errors import Infeasible
from paretune.evaluators.data import Array, Batch
from paretune.evaluators.runtimes.onnxruntime import OnnxRuntime
from paretune.evaluators.runtimes.runtime import Model, Runtime


def default_threads() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_batches(
    path: Path,
    batches: Iterable[Batch],
    threads: int | None = None,
    runtime: Runtime | None = None,
) -> Iterator[dict[str, Array]]:
    """Yield the outputs of each batch, output name to array, in the model's order of outputs.

    Outputs that are no tensors (sequences, maps) are left out. Batches run side by side, each on
    one thread: small models gain nothing from more, and the figures repeat to the last digit
    whatever the number of threads.

    Args:
        threads: batches that run at the same time; by default one per core.
        runtime: with one thread a run; by default ONNX Runtime on the CPU.

    Raises:
        InferenceError: the runtime cannot load or run the model.
    """
    count = threads or default_threads()
    yield from run_model((runtime or OnnxRuntime()).load(path, count), batches, count)


def run_model(model: Model, batches: Iterable[Batch], threads: int) -> Iterator[dict[str, Array]]:
    """The same for a model that was loaded for so many threads."""
    if threads == 1:
        for batch in batches:
            yield model.run(batch.inputs)
        return
    with ThreadPoolExecutor(threads) as pool:
        running: deque[Future[dict[str, Array]]] = deque()
        for batch in batches:
            running.append(pool.submit(model.run, batch.inputs))
            # One more than can run, so that no core idles; not all, or all outputs would pile up.
            if len(running) > threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


class FiniteCheck:
    """Counts the samples whose outputs hold NaN or infinite values."""

    def __init__(self) -> None:
        self._samples = 0
        self._bad: dict[tuple[str, str], int] = {}

    def update(self, outputs: Mapping[str, Array], samples: int) -> None:
        """Look at the outputs of one batch of `samples` samples."""
        self._samples += samples
        for name, array in outputs.items():
            if not np.issubdtype(array.dtype, np.floating):
                continue
            finite = np.isfinite(array)
            if finite.all():
                continue
            kind = "NaN" if np.isnan(array).any() else "infinite values"
            per_sample = array.ndim > 0 and len(array) == samples
            bad = int((~finite.reshape(samples, -1).all(axis=1)).sum()) if per_sample else samples
            self._bad[name, kind] = self._bad.get((name, kind), 0) + bad

    @property
    def failed(self) -> bool:
        """Whether any output so far was not finite."""
        return bool(self._bad)

    def finish(self) -> None:
        """Refuse outputs that are not finite.

        Raises:
            Infeasible: naming the first such output.
        """
        for (name, kind), bad in self._bad.items():
            raise Infeasible(f"output '{name}' holds {kind} for {bad} of {self._samples} samples")

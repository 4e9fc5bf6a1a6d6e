"""Measuring models without a search: the Python side of `paretune measure`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paretune.errors import UserError
from paretune.evaluators.comparison import Comparison, compare, made_inputs
from paretune.evaluators.data import Array
from paretune.search.device_section import DeviceSection


def measure(
    models: str | Path | Sequence[str | Path],
    *,
    reference: str | Path | None = None,
    inputs: Mapping[str, Array] | None = None,
    batch: int | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    device: str = "local",
    runtime: str = "onnxruntime",
    runtime_options: Mapping[str, Any] | None = None,
    threads: int = 1,
    cpus: Sequence[int] | None = None,
    target: float = 0.01,
    max_seconds: float | None = None,
    also: Sequence[str] = (),
    repeat: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Measure how fast ONNX models are, each in turn with a reference, in a process of their own.

    Args:
        models: one file or several.
        reference: what the others are compared with; by default the first of `models`.
        inputs: input name to array; by default made up, see `made_inputs`.
        batch: samples a run, for made inputs; 1 by default.
        shapes: input name to shape, for made inputs with more free dimensions than the first.
        device: `local` or a URL.
        runtime, runtime_options, threads, cpus: how the device runs models, see `Setup`.
        target: relative half width of the ratio's 95% interval at which sampling stops.
        max_seconds: of sampling a model; by default what suits it.
        also: what to measure besides the latency: `load`, `memory`, `energy`.
        repeat: rounds of measuring all models.
        tell: is told what is being done.

    Raises:
        UserError: a file, an option, the inputs or the device cannot be used.
        TransientError: the device went away.
    """
    listed = [Path(m) for m in ([models] if isinstance(models, str | Path) else models)]
    first = listed[0] if reference is None and listed else reference
    if first is None:
        raise UserError("no model to measure")
    if inputs is not None and (batch or shapes):
        raise UserError("inputs that are given have their own batch and shapes")
    spec = DeviceSection.read(
        device,
        {
            "runtime": runtime,
            "runtime_options": runtime_options or {},
            "threads": threads,
            "cpus": None if cpus is None else list(cpus),
        },
    ).spec(device)
    feeds = made_inputs(Path(first), batch=batch, shapes=shapes) if inputs is None else inputs
    return compare(
        Path(first),
        listed,
        feeds,
        spec,
        also=also,
        target=target,
        max_seconds=max_seconds,
        repeat=repeat,
        tell=tell,
    )

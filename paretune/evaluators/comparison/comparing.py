"""Measuring models one after the other, each beside the same reference."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from paretune.errors import CandidateError, Infeasible, UserError
from paretune.evaluators.artifact import Artifact
from paretune.evaluators.bench import Bench
from paretune.evaluators.comparison.comparison import Comparison, Row
from paretune.evaluators.comparison.inputs import check_inputs
from paretune.evaluators.data import Array, Batch, Splits
from paretune.evaluators.devices.connecting import connect
from paretune.evaluators.devices.device import DeviceSpec
from paretune.evaluators.energy import EnergyOptions, EnergyPlugin
from paretune.evaluators.evaluator import DeviceContext, EvaluationContext
from paretune.evaluators.latency.sources import SOURCES, Source
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.measuring.job import Kind
from paretune.evaluators.measuring.result import Estimate, Result
from paretune.evaluators.memory import MemoryOptions, MemoryPlugin
from paretune.names import nearest
from paretune.spaces import Policy

_RATIO = "latency_ratio"


def _energy(figures: Mapping[str, Estimate], _batch: int) -> Estimate:
    joules = figures["energy"]
    return Estimate(1e3 * joules.value, 1e3 * joules.low, 1e3 * joules.high)


_SOURCES = (
    *SOURCES,
    *(
        Source(metric, "memory", lambda figures, _batch: figures["peak_memory"])
        for metric in MemoryPlugin.metrics(MemoryOptions())
    ),
    *(Source(metric, "energy", _energy) for metric in EnergyPlugin.metrics(EnergyOptions())),
)
KINDS: tuple[Kind, ...] = ("load", "memory", "energy")
"""What can be measured besides the latency."""


def compare(
    reference: Path,
    models: Sequence[Path],
    feeds: Mapping[str, Array],
    spec: DeviceSpec,
    *,
    also: Sequence[str] = (),
    target: float = 0.01,
    max_seconds: float | None = None,
    repeat: int = 1,
    tell: Callable[[str], None] = lambda _: None,
) -> Comparison:
    """Measure the reference, and each of the models in turn with it, on one device.

    A model that does not run has a row with the reason; the others go on.

    Args:
        reference: ONNX file; measured against itself, so without a ratio.
        models: ONNX files that take the same inputs.
        feeds: input name to array; the first dimension of the first one is the batch size.
        also: any of `KINDS`.
        target: relative half width of the ratio's 95% interval at which sampling stops.
        max_seconds: of sampling a model; by default what suits it.
        repeat: rounds of measuring all models.
        tell: is told what is being done.

    Raises:
        UserError: a file is missing or no model, takes other inputs or is the reference and does
            not run; the device is not there or cannot measure what is asked for.
        TransientError: the device went away.
    """
    kinds = _kinds(also)
    for model in (reference, *models):
        check_inputs(model, feeds)
    others = [model for model in models if model.resolve() != reference.resolve()]
    batch = _batch(feeds)
    options: Mapping[Kind, Mapping[str, Any]] = {
        "latency": {"target": target, "max_seconds": max_seconds}
    }
    with ExitStack() as stack:
        tell(f"connecting to {spec.name}")
        device = stack.enter_context(closing(connect(spec)))
        context = EvaluationContext(
            Artifact(reference, Policy.of({}), ""),
            Splits([], [batch], []),
            DeviceContext(spec.name, device, spec.setup),
        )
        bench = stack.enter_context(closing(Bench(context, "measure")))
        bench.add_inputs(batch.size)
        measuring = _Measuring(bench, batch.size, kinds, options, tell)
        rows = [
            row
            for number in range(1, repeat + 1)
            for row in (
                measuring.reference(reference, number),
                *(measuring.model(model, number) for model in others),
            )
        ]
    metrics = tuple(
        source.metric
        for source in _SOURCES
        if source.kind in kinds and (others or source.metric.name != _RATIO)
    )
    inputs = {name: f"{array.dtype} {array.shape}" for name, array in feeds.items()}
    return Comparison(reference, metrics, tuple(rows), inputs)


@dataclass(frozen=True)
class _Measuring:
    bench: Bench
    batch: int
    kinds: Sequence[Kind]
    options: Mapping[Kind, Mapping[str, Any]]
    tell: Callable[[str], None]

    def reference(self, model: Path, number: int) -> Row:
        row = self._row(model, number, self.bench.try_out)
        return replace(row, figures={k: m for k, m in row.figures.items() if k != _RATIO})

    def model(self, model: Path, number: int) -> Row:
        try:
            return self._row(model, number, partial(self.bench.run, model=model))
        except (CandidateError, Infeasible) as error:
            return Row(model, number, error=str(error))

    def _row(self, model: Path, number: int, run: Callable[..., Result]) -> Row:
        results: dict[str, Result] = {}
        for kind in self.kinds:
            self.tell(f"{model.name}: {kind}")
            options = self.options.get(kind, {})
            # As much again for the warm-up and for what is taken again.
            extra_seconds = 2 * (options.get("max_seconds") or 0)
            results[kind] = run(
                kind=kind, batch=self.batch, options=options, extra_seconds=extra_seconds
            )
        figures = {
            source.metric.name: _measurement(source, results[source.kind], self.batch)
            for source in _SOURCES
            if source.kind in results
        }
        return Row(model, number, figures, {kind: r.samples for kind, r in results.items()})


def _measurement(source: Source, result: Result, batch: int) -> Measurement:
    found = source.read(result.figures, batch)
    exact = found.low == found.high
    return Measurement(
        found.value,
        None if exact else found.low,
        None if exact else found.high,
        conditions={**result.conditions, "batch": batch},
        flags=result.flags,
    )


def _kinds(also: Sequence[str]) -> list[Kind]:
    for name in also:
        if name not in KINDS:
            raise UserError(f"cannot also measure '{name}'{nearest(name, KINDS)}")
    return ["latency", *(kind for kind in KINDS if kind in also)]


def _batch(feeds: Mapping[str, Array]) -> Batch:
    # The first input counts the samples, and a scalar has none.
    names = sorted(feeds, key=lambda name: feeds[name].ndim == 0)
    if not names or feeds[names[0]].ndim == 0:
        raise UserError("the model has no input whose first dimension could be the batch")
    return Batch({name: feeds[name] for name in names})

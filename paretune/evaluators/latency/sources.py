"""Which metrics there are, and what each is made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from paretune.evaluators.measuring.job import Kind
from paretune.evaluators.measuring.result import Estimate
from paretune.evaluators.metric import Metric

Figures = Mapping[str, Estimate]
"""Of a result, in SI units."""


@dataclass(frozen=True)
class Source:
    """A metric and where it comes from.

    Attributes:
        kind: of the job.
        read: turns the job's figures and the number of samples per run into the metric's value.
    """

    metric: Metric
    kind: Kind
    read: Callable[[Figures, int], Estimate]


THROUGHPUT = "throughput"


def _scaled(figure: str, factor: float) -> Callable[[Figures, int], Estimate]:
    def read(figures: Figures, _batch: int) -> Estimate:
        found = figures[figure]
        return Estimate(factor * found.value, factor * found.low, factor * found.high)

    return read


def _per_second(figures: Figures, batch: int) -> Estimate:
    seconds = figures["latency"]
    return Estimate(batch / seconds.value, batch / seconds.high, batch / seconds.low)


SOURCES = (
    Source(
        Metric("latency_ms", "ms", "minimize", "Median latency of a run"),
        "latency",
        _scaled("latency", 1e3),
    ),
    Source(
        Metric("latency_ratio", "", "minimize", "Median latency relative to the fp32 model"),
        "latency",
        _scaled("ratio", 1),
    ),
    Source(
        Metric("latency_p90_ms", "ms", "minimize", "90th percentile of the latency of a run"),
        "latency",
        _scaled("p90", 1e3),
    ),
    Source(
        Metric("latency_p99_ms", "ms", "minimize", "99th percentile of the latency of a run"),
        "latency",
        _scaled("p99", 1e3),
    ),
    Source(
        Metric(THROUGHPUT, "1/s", "maximize", "Samples per second, one run after the other"),
        "latency",
        _per_second,
    ),
    Source(
        Metric("load_ms", "ms", "minimize", "Median time to load the model"),
        "load",
        _scaled("load", 1e3),
    ),
    Source(
        Metric("first_run_ms", "ms", "minimize", "Median time of the first run after loading"),
        "load",
        _scaled("first_run", 1e3),
    ),
)

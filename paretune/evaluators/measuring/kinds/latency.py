"""How long a run of a model takes, beside the fp32 model."""

import gc
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from paretune.errors import InferenceError, UserError
from paretune.evaluators.data import Array
from paretune.evaluators.measuring.conditions import conditions
from paretune.evaluators.measuring.interference import SystemWatch
from paretune.evaluators.measuring.job import Job
from paretune.evaluators.measuring.result import Result
from paretune.evaluators.measuring.samples import mostly_disturbed
from paretune.evaluators.measuring.sampling import sample
from paretune.evaluators.measuring.summary import summarize
from paretune.evaluators.measuring.workplace import Workplace
from paretune.evaluators.processes.serving import Note

TARGET = 0.01


def measure(job: Job, workplace: Workplace, note: Note) -> Result:
    """Sample the candidate and the reference in turn.

    Options: `target`, the relative half width of the 95% interval of the ratio at which sampling
    stops (0.01); `max_seconds` of sampling, warm-up not counted (None: automatic).

    Returns:
        `latency`, `reference_latency`, `ratio`, `p90` and `p99`; see `Summary`.

    Raises:
        InferenceError: the runtime cannot load the candidate, or not run it.
        UserError: the same with the reference.
    """
    feeds = workplace.feeds(job)
    reference = workplace.reference(job)
    note("loads the model")
    candidate = workplace.candidate(job)
    # Models that do not run say so here: what `bind` gives need not.
    candidate.run(feeds)
    try:
        reference.run(feeds)
    except InferenceError as error:
        raise UserError(f"the reference model, in {workplace.runtime.name}: {error}") from error
    note("samples the latency")
    with closing(SystemWatch(workplace.contention)) as watch, _no_collection():
        samples = sample(
            reference.bind(feeds),
            candidate.bind(feeds),
            target=job.options.get("target", TARGET),
            max_seconds=job.options.get("max_seconds"),
            watch=watch,
            patience=workplace.patience,
        )
    workplace.learn(disturbed=mostly_disturbed(samples.pairs))
    summary = summarize(samples)
    checked = workplace.output_error
    return Result(
        summary.figures,
        {**summary.samples, **({} if checked is None else {"output_error": checked})},
        {**conditions(workplace.setup, workplace.runtime), "batch": _batch(feeds)},
        summary.flags,
    )


def _batch(feeds: Mapping[str, Array]) -> int:
    """Samples in a run: the first dimension of the inputs."""
    return next((array.shape[0] for array in feeds.values() if array.ndim), 1)


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

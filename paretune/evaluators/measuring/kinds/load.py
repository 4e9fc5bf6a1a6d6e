"""How long a model takes to load, and its first run, which allocates and packs what later runs use.

The file comes from the page cache: what storage takes is the device's, not the model's.
"""

from pathlib import Path
from time import perf_counter

from paretune.evaluators.data import Array
from paretune.evaluators.measuring.conditions import conditions
from paretune.evaluators.measuring.job import MODEL, Job
from paretune.evaluators.measuring.result import Result
from paretune.evaluators.measuring.statistics import FEWEST, median
from paretune.evaluators.measuring.workplace import Workplace
from paretune.evaluators.processes.serving import Note

_MOST = 20
_SECONDS = 1.0


def measure(job: Job, workplace: Workplace, note: Note) -> Result:
    """Load the model again and again, each time with one run.

    The process is warm: a load and a run that do not count come first. They bring the file into the
    page cache, and the runtime sets up what it sets up only once.

    Options: `least` and `most` loads (6, 20), stopping in between after `seconds` (1).

    Returns:
        `load` and `first_run`, medians in seconds.

    Raises:
        InferenceError: the runtime cannot load the model, or not run it.
        Infeasible: its outputs are not those expected.
    """
    least = job.options.get("least", FEWEST)
    most = job.options.get("most", _MOST)
    feeds = workplace.feeds(job)
    note("loads the model")
    workplace.candidate(job).run(feeds)
    end = perf_counter() + job.options.get("seconds", _SECONDS)
    taken: list[tuple[float, float]] = []
    while len(taken) < least or (len(taken) < most and perf_counter() < end):
        taken.append(_load(job, workplace, feeds))
    loads, first_runs = zip(*taken, strict=True)
    return Result(
        {"load": median(loads), "first_run": median(first_runs)},
        {"load": loads, "first_run": first_runs},
        conditions(workplace.setup, workplace.runtime),
    )


def _load(job: Job, workplace: Workplace, feeds: dict[str, Array]) -> tuple[float, float]:
    """Seconds of loading, and of one run; the model is gone afterwards."""
    start = perf_counter()
    model = workplace.runtime.load(Path(job.files[MODEL]))
    loaded = perf_counter()
    model.run(feeds)
    return loaded - start, perf_counter() - loaded

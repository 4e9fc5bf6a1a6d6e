"""How much energy a run of a model takes, as the device's own meter counts it.

All that the meter counts counts: the idle machine and whatever else runs belong to it.
"""

from collections.abc import Callable
from contextlib import closing
from itertools import repeat
from pathlib import Path
from time import perf_counter, sleep

from paretune.errors import UserError
from paretune.evaluators.measuring.conditions import conditions
from paretune.evaluators.measuring.job import Job
from paretune.evaluators.measuring.meters.finding import AUTO, open_meter
from paretune.evaluators.measuring.meters.meter import Meter
from paretune.evaluators.measuring.result import Result
from paretune.evaluators.measuring.statistics import FEWEST, median
from paretune.evaluators.measuring.workplace import Workplace
from paretune.evaluators.processes.serving import Note

SECONDS = 2.0

_UPDATES = 20
"""Of the meter in a segment: less than 5% of it are lost or won at either end."""

_NVIDIA = ("cuda", "tensorrt")
"""Parts of the names of runtimes that run on NVIDIA's GPUs."""


def measure(job: Job, workplace: Workplace, note: Note) -> Result:
    """Run the model in segments, each as long as the meter needs to be sharp.

    Options: `meter` (`auto`, or a name), `sensors` (names), `root` (of sysfs), `seconds` of
    all segments together (2), more where the meter is slow.

    Returns:
        `energy` of a run, the median over the segments, in joules. The samples are `joules` of a
        run, segment by segment, `watts` while the model ran and `idle_watts` before.

    Raises:
        UserError: there is no such meter, or it does not count.
        InferenceError: the runtime cannot load the model, or not run it.
        Infeasible: its outputs are not those expected.
        TransientError: the meter broke off.
    """
    options = job.options
    with closing(
        open_meter(
            options.get("meter", AUTO),
            options.get("sensors", ()),
            root=Path(options.get("root", "/sys")),
            on_gpu=any(part in workplace.runtime.name.lower() for part in _NVIDIA),
        )
    ) as meter:
        note("loading the model")
        model, feeds = workplace.candidate(job), workplace.feeds(job)
        # What is bound may raise anything.
        model.run(feeds)
        run = model.bind(feeds)
        shortest = max(options.get("seconds", SECONDS) / FEWEST, _UPDATES * meter.resolution)
        note("measuring the idle device's power")
        idle, seconds = _used(meter, lambda: sleep(shortest))
        idle_watts = idle / seconds
        note("warming up")
        runs = _runs_in(run, shortest)
        note("measuring energy")
        segments = [_used(meter, lambda: _repeat(run, runs)) for _ in range(FEWEST)]
    used, spent = zip(*segments, strict=True)
    if min(used) <= 0:
        raise UserError(
            f"the energy meter '{meter.name}' stood still while a model ran for {min(spent):.2g} s:"
            " it does not count here, as in many virtual machines"
        )
    joules = [energy / runs for energy in used]
    return Result(
        {"energy": median(joules)},
        {
            "joules": joules,
            "runs_per_segment": runs,
            "watts": sum(used) / sum(spent),
            "idle_watts": idle_watts,
        },
        {**conditions(workplace.setup, workplace.runtime), "meter": meter.name},
    )


def _runs_in(run: Callable[[], object], seconds: float) -> int:
    """How many runs it takes until the time is over: the warm-up, as long as a segment."""
    end = perf_counter() + seconds
    runs = 0
    while runs == 0 or perf_counter() < end:
        run()
        runs += 1
    return runs


def _repeat(run: Callable[[], object], runs: int) -> None:
    for _ in repeat(None, runs):
        run()


def _used(meter: Meter, work: Callable[[], object]) -> tuple[float, float]:
    """Joules and seconds that a piece of work takes."""
    before, start = meter.read(), perf_counter()
    work()
    return meter.read() - before, perf_counter() - start

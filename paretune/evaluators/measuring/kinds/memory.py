"""How much memory a model takes: the high-water mark of its process over the idle runtime.

The process must be a fresh one, in which no other model has been.
"""

from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from sys import platform

from paretune.evaluators.measuring.conditions import conditions
from paretune.evaluators.measuring.job import MODEL, Job
from paretune.evaluators.measuring.result import Estimate, Result
from paretune.evaluators.measuring.workplace import Workplace
from paretune.evaluators.processes.serving import Note

_RUNS = 3
"""ONNX Runtime plans its memory in the first run and allocates what it planned in the second."""

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_MARK = "5"
"""See proc(5)."""


def measure(job: Job, workplace: Workplace, note: Note) -> Result:
    """Load the model and run it a few times.

    What the runtime and the inputs take is not counted, nor is memory outside of the host's, such
    as a GPU's. Resident memory counts, whoever else maps it too.

    Returns:
        `peak_memory` in bytes, exact for this process.

    Raises:
        InferenceError: the runtime cannot load the model, or not run it.
        Infeasible: its outputs are not those expected.
    """
    feeds = workplace.feeds(job)
    since = "reset" if _reset_mark() else "start"
    idle = _mark()
    note("loading the model")
    model = workplace.runtime.load(Path(job.files[MODEL]))
    loaded = _mark()
    note("running the model")
    for _ in range(_RUNS):
        model.run(feeds)
    peak = _mark()
    # Not before: comparing takes memory too.
    workplace.check(model, job)
    value = float(peak - idle)
    return Result(
        {"peak_memory": Estimate(value, value, value)},
        {"idle_bytes": idle, "load_peak_bytes": loaded, "peak_bytes": peak, "runs": _RUNS},
        {**conditions(workplace.setup, workplace.runtime), "high_water_since": since},
    )


def _reset_mark() -> bool:
    """Bring the high-water mark down to what is resident now, where the kernel can."""
    try:
        _CLEAR.write_text(_RESET_MARK)
    except OSError:
        return False
    return True


def _mark() -> int:
    """The most bytes that were resident at once."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    most = getrusage(RUSAGE_SELF).ru_maxrss
    return most if platform == "darwin" else 1024 * most

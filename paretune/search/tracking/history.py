"""How a search went, trial by trial: what the parent run's charts show."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from paretune.search.archive import Archive
from paretune.search.info import StudyInfo
from paretune.search.tracking.runs import milliseconds
from paretune.search.trial import Trial


@dataclass(frozen=True)
class Step:
    """The state of a search after one trial.

    Attributes:
        number: of the trial.
        time_ms: when it finished, Unix time in milliseconds.
        values: chart name to value.
    """

    number: int
    time_ms: int
    values: dict[str, float]


class History:
    """Turns trials, in the order of their numbers, into steps."""

    def __init__(self, info: StudyInfo, reference: tuple[float, ...] | None) -> None:
        """Args:
        reference: point up to which the hypervolume counts, less is better; None leaves it out.
        """
        self._info = info
        self._archive = Archive(info.objectives)
        if reference is not None:
            self._archive.set_reference(reference)

    def steps(self, trials: Iterable[Trial]) -> Iterator[Step]:
        """The steps of further trials, with the figures that the search saw."""
        for trial in trials:
            self._archive.extend([trial])
            yield Step(trial.number, milliseconds(trial.finished_at), self._values())

    def _values(self) -> dict[str, float]:
        members = self._archive.members
        values = {"front_size": float(len(members))}
        if self._archive.hypervolume is not None:
            values["hypervolume"] = self._archive.hypervolume
        for metric in self._info.objectives if members else ():
            best = min if metric.direction == "minimize" else max
            values[f"best_{metric.name}"] = best(m.figures[metric.name].value for m in members)
        return values

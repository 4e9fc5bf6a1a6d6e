"""Where trials stand: against the landmarks, and which front members they cannot be told from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paretune.search.certainty import Relation, relations
from paretune.search.info import StudyInfo
from paretune.search.landmark import landmarks
from paretune.search.trial import Trial


@dataclass(frozen=True)
class Standing:
    """Where a trial stands.

    Attributes:
        versus: landmark to the trial's relation to it; the trial itself and what was not measured
            are left out.
        ties: numbers of the other trials, of those compared, that it cannot be told from.
    """

    versus: Mapping[str, Relation]
    ties: tuple[int, ...]


def standings(
    info: StudyInfo, trials: Sequence[Trial], compared: Sequence[Trial]
) -> dict[int, Standing]:
    """Trial number to standing, for each of `compared`.

    Args:
        info, trials: of the study, or of its `view` from one device.
        compared: measured trials, such as the front members, that ties are looked for among.
    """
    if not compared:
        return {}
    marks = landmarks(trials)
    others = [*compared, *marks.values()]
    found = relations(compared, others, info.objectives)
    standing = {}
    for trial, row in zip(compared, found, strict=True):
        to = [(t.number, relation) for t, relation in zip(others, row, strict=True)]
        ties = [n for n, how in to[: len(compared)] if how is Relation.TIE and n != trial.number]
        versus = {
            name: how
            for name, (number, how) in zip(marks, to[len(compared) :], strict=True)
            if number != trial.number
        }
        standing[trial.number] = Standing(versus, tuple(sorted(ties)))
    return standing

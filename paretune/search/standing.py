"""Where trials stand: against the landmarks, and which front members they cannot be told from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from paretune.evaluators import Metric
from paretune.evaluators.pooling import pool, repeatable
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
    found = _relations(compared, others, info.objectives)
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


def _relations(
    first: Sequence[Trial], second: Sequence[Trial], objectives: Sequence[Metric]
) -> list[list[Relation]]:
    """How trials stand to each other: by the `test` split where both are tested.

    The best of hundreds of trials were lucky with the samples that they were chosen by.
    """
    found = relations(first, second, objectives)
    rows = [row for row, trial in enumerate(first) if trial.test]
    columns = [column for column, trial in enumerate(second) if trial.test]
    if rows and columns:
        told = relations(
            [_on_test(first[row]) for row in rows],
            [_on_test(second[column]) for column in columns],
            objectives,
        )
        for row, line in zip(rows, told, strict=True):
            for column, relation in zip(columns, line, strict=True):
                found[row][column] = relation
    return found


def _on_test(trial: Trial) -> Trial:
    """With the test split's figures; what no split changes was measured there once more."""
    known = dict(trial.test)
    for name, found in trial.test.items():
        before = trial.confirmed.get(name)
        if before is not None and not repeatable(before) and not repeatable(found):
            known[name] = pool(before, found)
    return replace(trial, confirmed=known)

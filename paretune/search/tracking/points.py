"""A trial's figures as MLflow's charts show them."""

from paretune.evaluators.metric import extended
from paretune.evaluators.pooling import rounds
from paretune.search.info import StudyInfo
from paretune.search.table import ordered
from paretune.search.tracking import spelling
from paretune.search.tracking.runs import Point, milliseconds
from paretune.search.trial import Trial


def trial_points(info: StudyInfo, trial: Trial) -> list[Point]:
    """As searched at step 0, confirmed at later ones, so that MLflow shows the confirmed ones.

    What was measured again and again is at the step of its last round: MLflow cannot replace the
    value of a step.
    """
    time_ms = milliseconds(trial.finished_at)
    points = []
    if trial.samples is not None:
        points.append(Point("search_samples", trial.samples, time_ms, 0))
    sources = (("", 0, trial.measurements), ("", 1, trial.confirmed), ("test_", 1, trial.test))
    for prefix, first, measured in sources:
        for metric in ordered(info):
            if (found := measured.get(metric.name)) is None:
                continue
            step = first and len(rounds(found))
            for suffix, value in (("", found.value), ("_low", found.low), ("_high", found.high)):
                if value is not None:
                    name = spelling.key(f"{prefix}{extended(metric.name, suffix)}")
                    points.append(Point(name, value, time_ms, step))
    return points

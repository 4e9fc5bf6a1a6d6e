"""Racing: a trial is measured on growing parts of the split until it is surely out of the race.

Metrics that are means over samples are measured first on a sixteenth of the split, then on twice as
much, and so on; all others as soon as no constraint looks broken. A trial is out once it breaks a
constraint, or a member of the front is no worse in any objective. What is not out ends with the
whole split measured: an estimate alone puts no trial on the front.

A sampled metric is judged by `Measurement.best`: a hit is a hit at most, so a candidate cannot gain
more on the samples that are left than the fp32 model has lost there. That is certain, and close to
the truth as soon as the samples have run on which the fp32 model errs or compressed models often do
(branch and bound, sample by sample; racing as such: Maron and Moore, NIPS 1993). Random samples,
with a bound that holds with 95% confidence at any time, would need most of the split: what matters
happens on a few of them. Figures with another noise, such as latencies, are told apart where their
95% intervals do not meet.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

from paretune.durations import format_duration
from paretune.evaluators import Measurement, Metric
from paretune.evaluators.part import Part
from paretune.search.constraint import Constraint, violations
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Of the split, before all of it."""

Take = Callable[[Set[str], Part], Mapping[str, Measurement]]
"""Measures metrics of these names; the sampled ones on the part."""


@dataclass(frozen=True)
class Finish:
    """How a race ended.

    Attributes:
        measurements: of all metrics, or, where a constraint was broken early, of the sampled ones.
        broken: what that constraint says, and what was measured; else empty.
    """

    measurements: Mapping[str, Measurement]
    broken: str = ""


def may_race(info: StudyInfo) -> bool:
    """Whether a metric that decides can be measured in parts."""
    return bool(_deciding(info))


def race(
    info: StudyInfo,
    rivals: Sequence[Trial],
    take: Take,
    known: Mapping[str, Measurement] | None = None,
    elsewhere: Set[str] = frozenset(),
) -> Finish:
    """Measure a candidate as far as it takes.

    Args:
        rivals: the front, of trials measured in full.
        take: what it raises, ends the race.
        known: what is measured already.
        elsewhere: names of metrics that somebody else measures.
    """
    found: dict[str, Measurement] = dict(known or {})
    if broken := _broken(info, found):
        return Finish(_ordered(info, found), broken)
    here = [m for m in info.metrics if m.name not in found and m.name not in elsewhere]
    sampled = {metric.name for metric in here if metric.sampled}
    waiting = {metric.name for metric in here} - sampled
    for share in (*SHARES, 1.0):
        part = Part(share)
        asked = {name for name in sampled if name not in found or found[name].partial}
        # What looks broken is settled before anything costly.
        if found and not _looks_broken(info, found):
            asked |= waiting
        if asked:
            found |= take(asked, part)
            waiting -= asked
        if broken := _broken(info, found):
            unknown = len(found) < len(info.metrics)
            return Finish(_ordered(info, found), broken if unknown else "")
        if not waiting and any(_beats(info, rival, found) for rival in rivals):
            break
    if waiting:
        found |= take(waiting, Part(1.0))
    return Finish(_ordered(info, found))


def summary(trials: Sequence[Trial]) -> str:
    """How many trials ended early, and what that saved; empty where none was raced."""
    raced = [trial for trial in trials if any(m.in_parts for m in trial.measurements.values())]
    stopped = [trial for trial in raced if trial.stopped]
    if not stopped:
        return ""
    shares = [
        m.samples["count"] / m.samples["of"]
        for trial in stopped
        for m in trial.measurements.values()
        if m.in_parts
    ]
    told = (
        f"Racing stopped {len(stopped)} of {len(raced)} trials early, after"
        f" {sum(shares) / len(shares):.0%} of the samples on average"
    )
    if whole := [trial.duration for trial in raced if not trial.stopped]:
        usual = sum(whole) / len(whole)
        saved = len(stopped) * usual - sum(trial.duration for trial in stopped)
        told += f"; that saved {format_duration(max(0.0, saved))} of measuring"
    return f"{told}."


def _deciding(info: StudyInfo) -> list[Metric]:
    """The sampled metrics that are objectives or have a bound."""
    names = {m.name for m in info.objectives} | {c.metric for c in info.constraints}
    return [metric for metric in info.metrics if metric.sampled and metric.name in names]


def _ordered(info: StudyInfo, found: Mapping[str, Measurement]) -> dict[str, Measurement]:
    return {metric.name: found[metric.name] for metric in info.metrics if metric.name in found}


def _looks_broken(info: StudyInfo, found: Mapping[str, Measurement]) -> bool:
    return any(violation > 0 for violation in violations(info.constraints, found).values())


def _broken(info: StudyInfo, found: Mapping[str, Measurement]) -> str:
    """What constraint is surely broken, with the figures; empty if none is."""
    metrics = {metric.name: metric for metric in info.metrics}
    for constraint in info.constraints:
        metric = metrics[constraint.metric]
        # What one device rules out may be on the front of another.
        if metric.name not in found or metric.device:
            continue
        measured = found[metric.name]
        best = _at_best(metric, measured) if _opposes(constraint, metric) else None
        if best is None and not measured.partial:
            best = measured.value
        if best is not None and constraint.excess(best) > 0:
            return _spelled(constraint, measured, best)
    return ""


def _opposes(constraint: Constraint, metric: Metric) -> bool:
    """Whether better figures are inside the bound, as usual."""
    return (constraint.operator == "<=") == (metric.direction == "minimize")


def _spelled(constraint: Constraint, measured: Measurement, best: float) -> str:
    allowed = f"allowed {constraint.bound:g}"
    if not measured.in_parts:
        return f"{constraint.metric} {best:.4g}, {allowed}"
    count, of = measured.samples["count"], measured.samples["of"]
    if not measured.partial:
        return f"{constraint.metric} {best:.4g} on all {of} samples, {allowed}"
    how = "at least" if constraint.operator == "<=" else "at most"
    return f"{constraint.metric} {how} {best:.4g} on {count} of {of} samples, {allowed}"


def _beats(info: StudyInfo, rival: Trial, found: Mapping[str, Measurement]) -> bool:
    """Whether the rival is surely no worse in any objective."""
    for metric in info.objectives:
        best = _at_best(metric, found[metric.name]) if metric.name in found else None
        if best is None:
            return False
        worst = _at_worst(metric, rival.measurements[metric.name])
        if worst > best if metric.direction == "minimize" else worst < best:
            return False
    return True


def _at_best(metric: Metric, measured: Measurement) -> float | None:
    if metric.sampled:
        return measured.best
    end = measured.low if metric.direction == "minimize" else measured.high
    return measured.value if end is None else end


def _at_worst(metric: Metric, measured: Measurement) -> float:
    end = measured.high if metric.direction == "minimize" else measured.low
    return measured.value if metric.sampled or end is None else end

"""When a race is over: what is surely beaten, and what surely breaks a constraint."""

from collections.abc import Mapping, Set
from dataclasses import replace

import pytest

from paretune.evaluators import Measurement
from paretune.evaluators.part import Part
from paretune.search.constraint import Constraint
from paretune.search.racing import race
from paretune.search.trial import Trial, TrialStatus
from tests.search.racing import (
    LIMIT,
    fixed,
    part_of,
    policies,
    racing_info,
    spread,
)


@pytest.mark.parametrize(
    ("accuracy", "latency", "stops"),
    [
        (part_of(0.80, 0.85), spread(2.0, 0.1), True),
        (part_of(0.80, 0.91), spread(2.0, 0.1), False),
        (part_of(0.80, None), spread(2.0, 0.1), False),
        # The latencies' intervals meet.
        (part_of(0.80, 0.85), spread(1.15, 0.1), False),
        (part_of(0.80, 0.85), spread(0.5, 0.1), False),
        (part_of(0.80, 0.85), Measurement(1.1), True),
    ],
)
def test_when_a_member_of_the_front_is_surely_no_worse(
    accuracy: Measurement, latency: Measurement, *, stops: bool
) -> None:
    info = racing_info()
    measured = fixed(accuracy=0.9, latency_ms=spread(1.0, 0.1))
    rival = Trial(0, TrialStatus.COMPLETE, policies(1)[0], measured)
    shares = []

    def take(metrics: Set[str], part: Part) -> Mapping[str, Measurement]:
        shares.append(part.share)
        all_of = fixed(accuracy=accuracy, latency_ms=latency)
        return {name: all_of[name] for name in metrics}

    race(info, [rival], take)
    assert shares[-1] == (1 / 8 if stops else 1.0)


@pytest.mark.parametrize(
    ("constraint", "measured", "reason"),
    [
        (
            LIMIT,
            part_of(0.1, 0.0712),
            "accuracy_drop at least 0.0712 on 100 of 800 samples, allowed 0.06",
        ),
        (LIMIT, part_of(0.1, 0.05), ""),
        (LIMIT, part_of(0.1, None), ""),
        # It could still become broken, or whole: an upper bound on what should be small.
        (Constraint("accuracy_drop", ">=", 0.5), part_of(0.1, 0.0712), ""),
    ],
)
def test_when_a_constraint_is_surely_broken(
    constraint: Constraint, measured: Measurement, reason: str
) -> None:
    info = racing_info(constraint)
    parts = fixed(accuracy=part_of(0.8, 0.9), accuracy_drop=measured, latency_ms=1.0)

    def take(metrics: Set[str], part: Part) -> Mapping[str, Measurement]:
        return {name: parts[name] for name in metrics}

    assert race(info, [], take).broken == reason


def test_a_device_that_rules_it_out_leaves_the_others() -> None:
    info = racing_info(Constraint("latency_ms@pi", "<=", 1.0))
    info = replace(info, metrics=(*info.metrics, info.objectives[1].on("pi")))
    shares = []

    def take(metrics: Set[str], part: Part) -> Mapping[str, Measurement]:
        shares.append(part.share)
        found = fixed(accuracy=part_of(0.8, 0.9), latency_ms=1.0)
        found |= {"latency_ms@pi": Measurement(9.0), "accuracy_drop": part_of(0.1, 0.0)}
        return {name: found[name] for name in metrics}

    race(info, [], take)
    assert shares[-1] == 1.0


def test_what_is_measured_elsewhere_is_not_asked_for() -> None:
    info = racing_info(LIMIT)
    asked: set[str] = set()

    def take(metrics: Set[str], part: Part) -> Mapping[str, Measurement]:
        asked.update(metrics)
        found = fixed(accuracy=part_of(0.8, 0.9), accuracy_drop=part_of(0.01, 0.0), size_bytes=9.0)
        return {name: found[name] for name in metrics}

    rival = Trial(0, TrialStatus.COMPLETE, policies(1)[0], fixed(accuracy=0.99, latency_ms=1.0))
    later = race(info, [rival], take, elsewhere={"latency_ms"})
    assert asked == later.measurements.keys() == {"accuracy", "accuracy_drop", "size_bytes"}
    known = race(info, [rival], take, fixed(latency_ms=2.0))
    assert known.measurements.keys() == {metric.name for metric in info.metrics}
    assert known.measurements["latency_ms"].value == 2.0


def test_what_is_known_may_end_the_race_before_it_begins() -> None:
    info = racing_info(Constraint("latency_ms", "<=", 1.0))

    def take(metrics: Set[str], part: Part) -> Mapping[str, Measurement]:
        raise AssertionError(f"measured {metrics}")

    finish = race(info, [], take, fixed(latency_ms=2.0))
    assert finish.broken == "latency_ms 2, allowed 1"


def test_a_broken_constraint_ends_it_though_figures_are_missing_from_elsewhere() -> None:
    info = racing_info(LIMIT)
    parts = fixed(accuracy=part_of(0.8, 0.9), accuracy_drop=part_of(0.1, 0.0712), size_bytes=9.0)

    def take(metrics: Set[str], part: Part) -> Mapping[str, Measurement]:
        return {name: parts[name] for name in metrics}

    assert race(info, [], take, elsewhere={"latency_ms"}).broken.startswith("accuracy_drop")

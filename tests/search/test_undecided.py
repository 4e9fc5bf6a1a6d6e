"""Where measuring again helps, and where it would be in vain."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from paretune.evaluators import Measurement, Metric
from paretune.evaluators.pooling import pool
from paretune.search.constraint import Constraint
from paretune.search.contest import Contest
from paretune.search.info import StudyInfo
from paretune.search.trial import Trial, TrialStatus
from paretune.search.undecided import MOST_ROUNDS, undecided
from paretune.spaces import Choice, Policy
from tests.search.fake import ACCURACY, LATENCY, SIZE, make_info

INFO = make_info()


def latency(value: float, half: float = 0.1) -> Measurement:
    return Measurement(value, value - half, value + half, conditions={"threads": 1})


def accuracy(value: float, count: int = 100) -> Measurement:
    samples = {"count": count, "of": 100}
    return Measurement(value, value - 0.05, value + 0.05, samples, {"split": "search"})


def overlooked(info: StudyInfo, trials: Sequence[Trial]) -> list[Trial]:
    return Contest(info, trials).overlooked()


def made(number: int, acc: Measurement, ms: Measurement, *, confirmed: bool = True) -> Trial:
    figures: Mapping[str, Measurement] = {
        "accuracy": acc,
        "latency_ms": ms,
        "size_bytes": Measurement(1.0),
    }
    policy = Policy.of({"layer": Choice.parse("int8"), f"other{number}": Choice.parse("fp32")})
    known = figures if confirmed else {}
    return Trial(number, TrialStatus.COMPLETE, policy, figures, known)


def test_members_too_close_in_latency_are_measured_again() -> None:
    one = made(1, accuracy(0.9), latency(1.0))
    near = made(2, accuracy(0.8), latency(0.95, 0.15))
    far = made(3, accuracy(0.5), latency(0.5))
    [doubt] = undecided(INFO, [one, near, far])
    # The wider one of the two; size and accuracy would only repeat themselves.
    assert doubt.trial is near
    assert doubt.metrics == {"latency_ms"}
    assert abs(doubt.closeness - 0.05 / 0.25) < 1e-9


def test_the_most_undecided_of_those_measured_least_often_comes_first() -> None:
    members = [
        made(1, accuracy(0.90), latency(1.0)),
        made(2, accuracy(0.85), latency(0.95)),
        made(3, accuracy(0.6), latency(0.5)),
        made(4, accuracy(0.5), latency(0.49)),
    ]
    assert [d.trial.number for d in undecided(INFO, members)] == [3, 1]
    again = pool(latency(0.5), latency(0.5))
    assert [d.trial.number for d in undecided(INFO, [*members[:2], made(3, accuracy(0.6), again),
                                                     members[3]])] == [4, 1]  # fmt: skip


def test_there_is_an_end_of_measuring_again() -> None:
    often = pool(*[latency(1.0)] * MOST_ROUNDS)
    one, other = made(1, accuracy(0.9), often), made(2, accuracy(0.9), often)
    assert undecided(INFO, [one, other]) == []
    fresh = made(3, accuracy(0.9), latency(1.0, 0.01))
    assert [d.trial.number for d in undecided(INFO, [one, fresh])] == [3]


def test_nothing_is_measured_in_vain() -> None:
    exact = [made(n, accuracy(0.9 + 0.01 * n), Measurement(1.0 + n)) for n in range(3)]
    assert undecided(INFO, exact) == []
    # Surely faster and no worse elsewhere: whatever comes of the accuracy, it is better.
    size = replace(INFO, objectives=(LATENCY, SIZE))
    assert (
        undecided(size, [made(1, accuracy(0.9), latency(1)), made(2, accuracy(0.9), latency(2))])
        == []
    )


def test_a_trade_off_in_two_sure_objectives_is_settled() -> None:
    other = Metric("energy_j", "J", "minimize", "")
    info = replace(INFO, objectives=(LATENCY, SIZE, other), metrics=(*INFO.metrics, other))

    def with_energy(trial: Trial, size: float) -> Trial:
        more = {"size_bytes": Measurement(size), "energy_j": latency(1.0)}
        return replace(trial, confirmed={**trial.confirmed, **more})

    one = with_energy(made(1, accuracy(0.9), latency(1.0)), 2.0)
    two = with_energy(made(2, accuracy(0.9), latency(2.0)), 1.0)
    assert undecided(info, [one, two]) == []
    close = with_energy(made(2, accuracy(0.9), latency(1.01)), 1.0)
    [doubt] = undecided(info, [one, close])
    assert doubt.metrics == {"latency_ms", "energy_j"}


def test_what_may_break_a_constraint_is_measured_again() -> None:
    info = replace(INFO, constraints=(Constraint("latency_ms", "<=", 1.05),))
    one, other = made(1, accuracy(0.9), latency(1.0)), made(2, accuracy(0.5), latency(0.2))
    [doubt] = undecided(info, [one, other])
    assert doubt.trial is one
    assert abs(doubt.closeness - 0.5) < 1e-9
    accurate = replace(INFO, constraints=(Constraint("accuracy", ">=", 0.89),))
    assert undecided(accurate, [one, other]) == []


def test_trials_that_noise_may_have_kept_off_the_front() -> None:
    members = [made(1, accuracy(0.9), latency(1.0)), made(2, accuracy(0.5), latency(0.5))]
    near = made(3, accuracy(0.85), latency(1.05), confirmed=False)
    nearer = made(4, accuracy(0.85), latency(1.01), confirmed=False)
    far = made(5, accuracy(0.85), latency(1.5), confirmed=False)
    known = made(6, accuracy(0.85), latency(1.01))
    broken = replace(made(7, accuracy(0.9), latency(0.4)), status=TrialStatus.FAILED)
    trials = [*members, near, nearer, far, known, broken]
    assert overlooked(INFO, trials) == [nearer, near]


def test_every_member_that_dominates_it_counts() -> None:
    # Close to the first, but surely slower than the second, which is as accurate.
    members = [made(1, accuracy(0.9), latency(1.0)), made(2, accuracy(0.89), latency(0.5))]
    trial = made(3, accuracy(0.85), latency(1.01), confirmed=False)
    assert overlooked(INFO, [*members, trial]) == []


def test_an_exact_latency_leaves_only_what_was_measured_in_part() -> None:
    members = [made(1, accuracy(0.9), Measurement(1.0))]
    whole = made(2, accuracy(0.88), Measurement(1.1), confirmed=False)
    part = made(3, accuracy(0.88, count=20), Measurement(1.1), confirmed=False)
    assert overlooked(INFO, [*members, whole]) == []
    assert overlooked(INFO, [*members, whole, part]) == [part]


def test_a_constraint_broken_within_noise_is_looked_at_again() -> None:
    info = replace(INFO, constraints=(Constraint("latency_ms", "<=", 1.0),))

    def violating(number: int, ms: float) -> Trial:
        trial = made(number, accuracy(0.95), latency(ms), confirmed=False)
        return replace(trial, violations=("latency_ms <= 1",))

    member = made(1, accuracy(0.9), latency(0.9))
    near, far = violating(2, 1.05), violating(3, 1.2)
    assert overlooked(info, [member, near, far]) == [near]


def test_an_empty_study_has_nothing_to_measure() -> None:
    assert undecided(INFO, []) == []
    assert overlooked(INFO, []) == []
    assert ACCURACY in INFO.objectives

"""The contest against the plain way, step by step, and what a step costs."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.errors import UserError
from paretune.evaluators import Measurement
from paretune.evaluators.pooling import pool, repeatable
from paretune.search import board
from paretune.search.board import Board
from paretune.search.constraint import Constraint
from paretune.search.contest import Contest
from paretune.search.info import StudyInfo
from paretune.search.landmark import landmarks
from paretune.search.trial import Trial, TrialStatus
from paretune.search.undecided import undecided
from paretune.spaces import Choice, Policy, Precision
from tests.search.plain import (
    plain_front,
    plain_landmark,
    plain_members,
    plain_overlooked,
    plain_undecided,
)
from tests.search.synthetic import (
    ACCURACY,
    DROP,
    LATENCY,
    PI,
    SERVER,
    SIZE,
    make_device_info,
    make_info,
)

CHOICES = [Choice.parse(text) for text in ("fp32", "int8", "w4", "int8+2:4")]


class Maker:
    """Makes up trials: figures on a coarse grid, so that many are equal; noise of several kinds."""

    def __init__(self, info: StudyInfo, seed: int, *, racing: bool, paired: bool) -> None:
        self.info = info
        self.rng = np.random.default_rng(seed)
        self._racing = racing
        self._paired = paired

    def figures(self, *, whole: bool = False) -> dict[str, Measurement]:
        rng = self.rng
        found = {}
        partial = self._racing and not whole and rng.random() < 0.4
        count = {"count": 16 if partial else 64, "of": 64}
        for metric in self.info.metrics:
            value = float(rng.integers(1, 8))
            half = float(rng.choice([0.0, 0.6, 1.7]))
            if metric.base == "accuracy":
                samples, conditions = count, {"split": "search"}
                found["accuracy"] = Measurement(
                    value, value - half, value + half, samples, conditions
                )
                if self._paired:
                    drop = 8.0 - value
                    found[DROP.name] = Measurement(
                        drop, drop - half / 2, drop + half / 2, samples, conditions
                    )
            elif metric == SIZE:
                found[metric.name] = Measurement(value)
            elif metric != DROP:
                found[metric.name] = Measurement(
                    value, value - half, value + half, conditions={"threads": 1}
                )
        return found

    def trial(self, number: int) -> Trial:
        rng = self.rng
        kind = rng.random()
        layers = ["a", "b", "c"]
        chosen = (
            [CHOICES[rng.integers(2)]] * 3
            if kind < 0.2
            else [CHOICES[rng.integers(len(CHOICES))] for _ in layers]
        )
        # One layer stays as it is, wherever it may.
        chosen[0] = CHOICES[0] if kind < 0.8 else chosen[0]
        policy = Policy.of(dict(zip(layers, chosen, strict=True)))
        if rng.random() < 0.15:
            status = TrialStatus.FAILED if rng.random() < 0.5 else TrialStatus.INFEASIBLE
            return Trial(number, status, policy, reason="broke")
        return self.judged(Trial(number, TrialStatus.COMPLETE, policy, self.figures()))

    def confirmed(self, trial: Trial) -> Trial:
        again = replace(trial, confirmed=self.figures(whole=self.rng.random() < 0.9))
        return self.judged(again)

    def again(self, trial: Trial) -> Trial:
        """The trial with its latencies measured once more or thrice."""
        times = int(self.rng.choice([1, 3]))
        figures = {
            name: m if repeatable(m) else pool(m, *[m] * times)
            for name, m in trial.confirmed.items()
        }
        return replace(trial, confirmed=figures)

    def judged(self, trial: Trial) -> Trial:
        broken = [str(c) for c in self.info.constraints if c.violation(trial.figures) > 0]
        return replace(trial, violations=tuple(broken))


@st.composite
def makers(draw: st.DrawFn) -> Maker:
    bounds = st.sampled_from([2.0, 4.0, 6.0])
    paired = draw(st.booleans())
    if draw(st.booleans()):
        info = make_device_info(
            [Constraint(SERVER.name, "<=", draw(bounds))] * draw(st.integers(0, 1))
        )
        if draw(st.booleans()):
            info = replace(info, objectives=(ACCURACY, PI))
    else:
        objectives = draw(st.sampled_from([(ACCURACY, LATENCY), (ACCURACY, LATENCY, SIZE)]))
        metrics = (ACCURACY, *([DROP] * paired), LATENCY, SIZE)
        constraints = [
            Constraint("accuracy", ">=", draw(bounds)),
            Constraint("latency_ms", "<=", draw(bounds)),
        ]
        info = replace(
            make_info(objectives, metrics),
            constraints=tuple(constraints[: draw(st.integers(0, 2))]),
        )
    return Maker(info, draw(st.integers(0, 2**32)), racing=draw(st.booleans()), paired=paired)


def numbers(trials: Sequence[Trial]) -> list[int]:
    return [trial.number for trial in trials]


@settings(max_examples=60)
@given(makers(), st.integers(0, 25), st.integers(0, 25), st.sampled_from([1, 3, board.AHEAD]))
def test_it_is_as_if_all_were_compared_anew(
    maker: Maker, count: int, changes: int, ahead: int
) -> None:
    trials = [maker.trial(number) for number in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(board, "AHEAD", ahead)
        contest = Contest(maker.info, trials)
        complete = [t.number for t in trials if t.status is TrialStatus.COMPLETE]
        for change in range(changes + 1):
            # A search looks only where it has to.
            if maker.rng.random() < 0.8:
                assert numbers(contest.members()) == plain_members(maker.info, trials)
            if maker.rng.random() < 0.5:
                assert numbers(contest.overlooked()) == plain_overlooked(maker.info, trials)
            assert contest.confirmed == sum(bool(trial.confirmed) for trial in trials)
            if not complete or change == changes:
                break
            likely = [t.number for t in (*contest.members(), *contest.overlooked())]
            picked = int(maker.rng.choice(likely or complete))
            trials[picked] = maker.confirmed(trials[picked])
            contest.update(trials[picked])
    assert numbers(contest.members()) == plain_members(maker.info, trials)
    assert numbers(contest.overlooked()) == plain_overlooked(maker.info, trials)


@given(makers(), st.integers(0, 12))
def test_doubts_are_those_of_every_pair(maker: Maker, count: int) -> None:
    trials = [maker.trial(number) for number in range(2 * count)]
    complete = [maker.confirmed(t) for t in trials if t.status is TrialStatus.COMPLETE]
    pooled = [maker.again(trial) if maker.rng.random() < 0.5 else trial for trial in complete]
    found = [(d.trial.number, d.metrics, d.closeness) for d in undecided(maker.info, pooled)]
    assert found == plain_undecided(maker.info, pooled)


@given(makers(), st.integers(0, 30))
def test_landmarks_are_at_one_precision_wherever_any_trial_is(maker: Maker, count: int) -> None:
    trials = [maker.trial(number) for number in range(count)]
    maker.rng.shuffle(trials)
    found = landmarks(trials)
    for name, precision in (("fp32", Precision.FP32), ("uniform int8", Precision.INT8)):
        expected = plain_landmark(trials, precision)
        assert (found[name].number if name in found else None) == expected


def with_far_ones(count: int) -> tuple[StudyInfo, list[Trial]]:
    """Ten trials that matter, and any number of others that do not."""
    info = make_info((ACCURACY, LATENCY), (ACCURACY, LATENCY))
    policy = Policy.of({"layer": CHOICES[1]})

    def made(number: int, accuracy: float, ms: float) -> Trial:
        figures = {
            "accuracy": Measurement(accuracy, accuracy - 0.01, accuracy + 0.01),
            "latency_ms": Measurement(ms, 0.99 * ms, 1.01 * ms, conditions={"threads": 1}),
        }
        return Trial(number, TrialStatus.COMPLETE, policy, figures)

    near = [made(n, 0.5 + 0.04 * n, 1.0 + n) for n in range(10)]
    far = [made(10 + n, 0.2 * n / count, 20.0 + n / count) for n in range(count)]
    return info, near + far


@pytest.mark.parametrize("many", [100, 1000])
def test_a_step_looks_at_the_trial_that_changed_only(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many trials there are, their figures are read once."""
    reads = 0
    figures = Trial.figures.fget  # type: ignore[attr-defined]

    def counted(trial: Trial) -> object:
        nonlocal reads
        reads += 1
        return figures(trial)

    info, trials = with_far_ones(many)
    contest = Contest(info, trials)
    contest.overlooked()
    monkeypatch.setattr(Trial, "figures", property(counted))
    steps = 3 * board.AHEAD
    for step in range(steps):
        row = step % 10
        contest.update(replace(trials[row], confirmed=dict(trials[row].measurements)))
        assert set(numbers(contest.members())) == set(range(10))
        assert contest.overlooked() == []
    assert 0 < reads <= 20 * steps


def test_a_row_that_changes_may_turn_out_to_be_measured_otherwise() -> None:
    info, trials = with_far_ones(3)
    changed = {
        **trials[0].measurements,
        "latency_ms": replace(trials[0].measurements["latency_ms"], conditions={"threads": 2}),
    }
    found = Board(trials, info.objectives)
    assert found.front().tolist() == list(range(9, -1, -1))
    found.update(11, replace(trials[11], confirmed=changed))
    with pytest.raises(UserError, match="trials 0 and 11 cannot be compared.*threads was 1, is"):
        found.front()
    assert plain_front(trials, info.objectives) == list(range(9, -1, -1))


def test_those_who_come_up_one_behind_the_other_all_do() -> None:
    info = make_info((ACCURACY, LATENCY), (ACCURACY, LATENCY))
    policy = Policy.of({"layer": CHOICES[1]})

    def figures(place: float) -> dict[str, Measurement]:
        return {"accuracy": Measurement(-place), "latency_ms": Measurement(1 + place)}

    count = 4 * board.AHEAD
    trials = [Trial(n, TrialStatus.COMPLETE, policy, figures(float(n))) for n in range(count)]
    contest = Contest(info, trials)
    for number in range(count):
        assert number in numbers(contest.members())
        contest.update(replace(trials[number], confirmed=figures(2.0 * count + number)))

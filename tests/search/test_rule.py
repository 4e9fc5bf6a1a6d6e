"""Rules against brute force over the front."""

from dataclasses import replace
from math import inf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.errors import UserError
from paretune.evaluators import Measurement, Metric
from paretune.search.front import front
from paretune.search.rule import Knee, MaxDrop, NothingPicked, TrialNumber, Weights, normalized
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Choice, Policy
from tests.search.synthetic import ACCURACY, DROP, LATENCY, SIZE, make_info, make_trials

INFO = make_info()
THREE = make_info((ACCURACY, LATENCY, SIZE))
levels = st.integers(0, 12).map(float)


@st.composite
def studies(draw: st.DrawFn) -> list[Trial]:
    """fp32 first, then trials on a coarse grid of figures, so that ties are common."""
    rows = draw(st.lists(st.tuples(levels, levels, levels), min_size=1, max_size=25))
    trials = []
    for number, (drop, latency, size) in enumerate([(0.0, 12.0, 12.0), *rows]):
        figures = {
            "accuracy": Measurement(0.9 - drop / 100),
            "accuracy_drop": Measurement(drop / 100),
            "latency_ms": Measurement(latency + 1),
            "size_bytes": Measurement(size + 1),
        }
        policy = Policy.of({"layer": Choice.parse("int8" if number else "fp32")})
        trials.append(Trial(number, TrialStatus.COMPLETE, policy, figures))
    return trials


def value(trial: Trial, metric: str) -> float:
    return trial.figures[metric].value


@given(studies(), st.integers(0, 12))
def test_max_drop_is_the_cheapest_that_fits(trials: list[Trial], percent: int) -> None:
    limit = percent / 100
    picked = MaxDrop(limit, "size_bytes").choose(THREE, trials)
    fitting = [t for t in front(trials, THREE.objectives) if value(t, "accuracy_drop") <= limit]
    assert picked in fitting
    assert value(picked, "size_bytes") == min(value(t, "size_bytes") for t in fitting)


@given(studies())
def test_knee_is_farthest_beyond_the_chord(trials: list[Trial]) -> None:
    members = front(trials, INFO.objectives)
    picked = Knee().choose(INFO, trials)
    assert picked in members
    a, b = members[0], members[-1]
    dx = value(b, "latency_ms") - value(a, "latency_ms")
    dy = value(b, "accuracy") - value(a, "accuracy")

    def beyond(trial: Trial) -> float:
        """Distance to the line through the ends of the front, both axes scaled to length one."""
        if dx == 0 or dy == 0:
            return 0.0
        u = (value(trial, "latency_ms") - value(a, "latency_ms")) / dx
        v = (value(trial, "accuracy") - value(a, "accuracy")) / dy
        return (u - v) / sqrt(2)

    assert beyond(picked) == pytest.approx(max(map(beyond, members)), abs=1e-9)


@given(studies(), st.tuples(levels, levels, levels).filter(lambda w: sum(w) > 0))
def test_weights_is_the_least_weighted_sum(
    trials: list[Trial], weights: tuple[float, float, float]
) -> None:
    members = front(trials, THREE.objectives)
    named = dict(zip(("accuracy", "latency_ms", "size_bytes"), weights, strict=True))
    picked = Weights(named).choose(THREE, trials)

    def cost(trial: Trial) -> float:
        total = 0.0
        for name, weight in named.items():
            values = [value(t, name) for t in members]
            low, high = min(values), max(values)
            if high > low:
                share = (value(trial, name) - low) / (high - low)
                total += weight * (1 - share if name == "accuracy" else share)
        return total

    assert picked in members
    assert cost(picked) == pytest.approx(min(map(cost, members)), abs=1e-9)


@given(studies())
def test_equal_weights_pick_a_knee_of_three_objectives(trials: list[Trial]) -> None:
    equal = Weights({"accuracy": 2.0, "latency_ms": 2.0, "size_bytes": 2.0})
    members = front(trials, THREE.objectives)
    sums = normalized(members, THREE.objectives).sum(axis=1)
    for rule in (Knee(), equal):
        chosen = members.index(rule.choose(THREE, trials))
        assert sums[chosen] == pytest.approx(sums.min(), abs=1e-9)


@given(studies(), st.integers(0, 12))
def test_max_drop_without_the_metric_compares_with_fp32(trials: list[Trial], percent: int) -> None:
    info = make_info((ACCURACY, LATENCY), (ACCURACY, LATENCY))
    bare = [
        replace(t, measurements={n: t.measurements[n] for n in ("accuracy", "latency_ms")})
        for t in trials
    ]
    limit = percent / 100 + 1e-9
    picked = MaxDrop(limit, "latency_ms").choose(info, bare)
    best = min(value(t, "latency_ms") for t in bare if 0.9 - value(t, "accuracy") <= limit)
    assert value(picked, "latency_ms") == best


def test_rules_choose_by_confirmed_figures_and_never_by_test() -> None:
    trials = make_trials(40)
    lying = [
        replace(t, test={n: replace(m, value=m.value * 0.001) for n, m in t.test.items()})
        for t in trials
    ]
    for rule in (MaxDrop(0.02, "latency_ms"), Knee(), Weights({"accuracy": 1, "latency_ms": 3})):
        assert rule.choose(INFO, lying).number == rule.choose(INFO, trials).number
    best = MaxDrop(0.02, "latency_ms").choose(INFO, trials)
    worse = {**best.confirmed, "accuracy_drop": Measurement(0.05)}
    changed = [replace(t, confirmed=worse) if t is best else t for t in trials]
    assert MaxDrop(0.02, "latency_ms").choose(INFO, changed).number != best.number


def test_nothing_picked_shows_the_nearest() -> None:
    trials = [t for t in make_trials(40) if t.number > 1]
    nearest = min(front(trials, INFO.objectives), key=lambda t: t.figures["accuracy_drop"].value)
    with pytest.raises(NothingPicked, match="no front member loses at most 0.001") as caught:
        MaxDrop(0.001, "latency_ms").choose(INFO, trials)
    assert f"nearest is trial {nearest.number} (accuracy 0." in str(caught.value)
    with pytest.raises(NothingPicked, match="front of 'synthetic' is empty: none of 0 trials"):
        Knee().choose(INFO, [])


def test_trial_number() -> None:
    trials = make_trials(40)
    assert TrialNumber(7).choose(INFO, trials) is trials[7]
    with pytest.raises(UserError, match="no trial 40; the study 'synthetic' has 40"):
        TrialNumber(40).choose(INFO, trials)
    broken = next(t for t in trials if t.status is TrialStatus.INFEASIBLE)
    with pytest.raises(UserError, match=f"trial {broken.number} is infeasible: block size"):
        TrialNumber(broken.number).choose(INFO, trials)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (MaxDrop(0.1, "latncy"), "unknown metric 'latncy'; the study measures accuracy"),
        (Weights({"speed": 1.0}), "unknown metric 'speed'"),
        (Weights({"accuracy": -1.0}), "must not be negative .* accuracy=-1"),
        (Weights({"accuracy": 0.0}), "one must be positive"),
        (Weights({"accuracy": inf}), "accuracy=inf"),
        (Weights({}), "one must be positive"),
    ],
)
def test_rules_that_do_not_fit(rule: MaxDrop | Weights, message: str) -> None:
    with pytest.raises(UserError, match=message):
        rule.choose(INFO, make_trials(10))


def test_max_drop_needs_something_to_drop() -> None:
    info = make_info((LATENCY, SIZE), (LATENCY, SIZE))
    figures = {"latency_ms": Measurement(1.0), "size_bytes": Measurement(2.0)}
    trial = replace(make_trials(1)[0], measurements=figures, confirmed={})
    with pytest.raises(UserError, match="to be maximized.*latency_ms, size_bytes"):
        MaxDrop(0.1, "latency_ms").choose(info, [trial])
    info = make_info((ACCURACY, LATENCY), (ACCURACY, LATENCY))
    lone = next(
        replace(
            t, confirmed={}, measurements={n: t.measurements[n] for n in ("accuracy", "latency_ms")}
        )
        for t in make_trials(40)
        if t.number > 1
        and t.feasible
        and any(c.precision != "fp32" for _, c in t.policy)
        and any(c.precision == "fp32" for _, c in t.policy)
    )
    with pytest.raises(UserError, match="needs the fp32 model's trial"):
        MaxDrop(0.1, "latency_ms").choose(info, [lone])


def test_throughput_is_no_quality() -> None:
    throughput = Metric("throughput", "1/s", "maximize", "", per_device=True)
    bleu = Metric("bleu", "", "maximize", "a user's own")
    trials = [
        Trial(
            number,
            TrialStatus.COMPLETE,
            Policy.of({"layer": Choice.parse(spelled)}),
            {
                "throughput": Measurement(speed),
                "bleu": Measurement(quality),
                "size_bytes": Measurement(1 / speed),
            },
        )
        for number, (spelled, speed, quality) in enumerate(
            [("fp32", 100.0, 30.0), ("int8", 300.0, 29.0), ("w4", 400.0, 20.0)]
        )
    ]
    info = make_info((throughput, bleu), (throughput, bleu, SIZE))
    assert MaxDrop(2, "size_bytes").choose(info, trials).number == 1
    info = make_info((throughput, SIZE), (throughput, SIZE))
    with pytest.raises(UserError, match="needs a quality .* measures throughput, size_bytes"):
        MaxDrop(2, "size_bytes").choose(info, trials)


def test_drop_metric_may_be_outside_the_objectives() -> None:
    info = make_info((LATENCY, SIZE), (LATENCY, SIZE, DROP, Metric("x", "", "maximize", "")))
    trials = make_trials(40)
    picked = MaxDrop(0.05, "latency_ms").choose(info, trials)
    assert picked.figures["accuracy_drop"].value <= 0.05

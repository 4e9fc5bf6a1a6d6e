"""Explaining: planted effects are found, and their intervals hold."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from paretune.evaluators import Measurement
from paretune.evaluators.intervals import Z
from paretune.search.explaining import Explanation, explain
from paretune.search.explaining.bases import COUNT, bases
from paretune.search.explaining.contrasts import Contrasts
from paretune.search.explaining.decisions import design
from paretune.search.explaining.effect import Effect, discoveries
from paretune.search.explaining.verdict import Verdict, verdict
from paretune.search.front import front
from paretune.search.guided.structure import Structure
from paretune.search.guided.surrogate import Surrogate
from paretune.search.trial import Trial, TrialStatus
from tests.search.explaining.planted import (
    ACCURACY,
    LATENCY,
    LAYERS,
    PAIR,
    SIZE,
    changed,
    info,
    planted,
    trial,
    truth,
)


@pytest.fixture(scope="module")
def found() -> Explanation:
    return explain(info(), planted(200))


def true_effect(found: Explanation, layer: str, option: str, metric: str) -> float:
    """By brute force: turn the layer in every policy averaged over."""
    changes = []
    for base in found.bases:
        choices = {name: str(choice) for name, choice in base.policy}
        after, before = choices | {layer: option}, choices | {layer: "fp32"}
        changes.append(truth(after)[metric] - truth(before)[metric])
    return float(np.mean(changes))


def test_planted_effects_are_inside_their_intervals() -> None:
    inside, widths = [], []
    for seed in range(5):
        found = explain(info(), planted(120, seed))
        for chosen in found.choices:
            [layer] = chosen.decision.layers
            for name, effect in chosen.effects.items():
                true = true_effect(found, layer, chosen.option, name)
                inside.append(effect.low <= true <= effect.high)
                widths.append(effect.half / {"accuracy": 0.003, "latency_ms": 0.03}[name])
    assert len(inside) == 5 * 2 * 2 * len(LAYERS)
    assert np.mean(inside) >= 0.9
    # Honest by being wide would be easy: a figure of one trial has a half width of 2 deviations.
    assert np.median(widths) < 1


def test_the_fragile_layer_is_to_be_protected(found: Explanation) -> None:
    hurt = found.protect(ACCURACY)
    assert (hurt[0].decision.layers, hurt[0].option) == (("conv1",), "int8")
    assert hurt[0].effects["accuracy"].value == pytest.approx(-0.05, abs=0.005)
    assert [h.option for h in hurt[1:]] == ["w4"] * 5


def test_free_choices_gain_and_lose_nothing(found: Explanation) -> None:
    free = {(c.decision.layers[0], c.option) for c in found.of(Verdict.FREE)}
    assert free == {(f"conv{i}", "int8") for i in range(2, 6)}
    trades = {(c.decision.layers[0], c.option) for c in found.of(Verdict.TRADE)}
    assert ("conv1", "int8") in trades
    lost = [*found.of(Verdict.WASTE), *found.of(Verdict.LOSS)]
    assert {c.option for c in lost} == {"w4"}


def test_the_planted_pair_is_the_largest_interaction(found: Explanation) -> None:
    pair = found.interactions[0]
    assert (pair.first.decision.layers[0], pair.second.decision.layers[0]) == PAIR
    assert (pair.first.option, pair.second.option, pair.metric) == ("int8", "int8", "latency_ms")
    assert pair.effect.low <= -0.3 <= pair.effect.high
    assert pair.effect.better
    # 5 neighbouring pairs of layers with 2 × 2 choices each, two objectives.
    assert found.pairs == 20
    assert len(found.interactions) <= 3


def test_nothing_is_found_where_nothing_is() -> None:
    rng = np.random.default_rng(3)
    trials = [
        changed(t, accuracy=rng.standard_normal(), latency_ms=rng.standard_normal())
        for t in planted(100)
    ]
    found = explain(info(), trials)
    assert not found.interactions
    assert not [c for c in found.choices for e in c.effects.values() if e.real]
    for doubt in found.doubts:
        assert doubt.predictions.r2 < 0.15


def test_predictions_are_of_trials_left_out(found: Explanation) -> None:
    for doubt in found.doubts:
        those = doubt.predictions
        measured = [t.measurements[doubt.metric.name].value for t in found.trials]
        assert those.measured.tolist() == pytest.approx(measured)
        assert those.r2 > 0.9
        assert 0.88 <= those.coverage <= 1
        assert those.error < 3 * {"accuracy": 0.003, "latency_ms": 0.03}[doubt.metric.name]
    # One trial that is far off is what it misjudges most, and changes no other prediction's fold.
    odd = planted(200)
    odd[77] = changed(odd[77], latency_ms=odd[77].measurements["latency_ms"].value + 1)
    those = explain(info(), odd).doubts[1].predictions
    assert those.misjudged(1) == [77]
    assert those.surprise[77] > 4
    assert those.predicted[77] == pytest.approx(truth_of(odd[77])["latency_ms"], abs=0.2)


def truth_of(one: Trial) -> dict[str, float]:
    return truth({name: str(choice) for name, choice in one.policy})


def test_effects_equal_differences_of_the_posterior() -> None:
    """Against plain loops over one policy at a time."""
    trials = planted(60)
    made = design([t.policy for t in trials])
    structure = Structure.of({d.name: d.options for d in made.decisions})
    costs = np.array([t.measurements["latency_ms"].value for t in trials])
    surrogate = Surrogate.fit(structure, made.x, costs)
    rows = made.x[:4]
    contrasts = Contrasts(made, structure, rows)
    singles = contrasts.singles(surrogate, 1.0, 1.0)
    pairs = contrasts.interactions(surrogate, -1.0, 2.0)

    def moments(cells: Sequence[tuple[float, dict[int, int]]]) -> tuple[float, float]:
        made_rows, weights = [], []
        for base, (weight, options) in itertools.product(rows, cells):
            turned = base.copy()
            for knob, option in options.items():
                turned[knob] = option
            made_rows.append(turned)
            weights.append(weight / len(rows))
        mean, covariance = surrogate.posterior(np.array(made_rows))
        w = np.array(weights)
        return float(w @ mean), float(np.sqrt(w @ covariance @ w))

    mean, deviation = moments([(1, {2: 1}), (-1, {2: 0})])
    effect = singles[2, 1]
    assert (effect.value, effect.gain) == pytest.approx((mean, -mean))
    assert effect.half == pytest.approx(Z * deviation, rel=1e-4)
    cells = [(1, {2: 1, 3: 2}), (-1, {2: 1, 3: 0}), (-1, {2: 0, 3: 2}), (1, {2: 0, 3: 0})]
    mean, deviation = moments(cells)
    effect = pairs[(2, 1), (3, 2)]
    assert (effect.value, effect.gain) == pytest.approx((-mean, -mean))
    assert effect.half == pytest.approx(2 * Z * deviation, rel=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_discoveries_are_those_of_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chances = np.concatenate([rng.random(30), 1e-3 * rng.random(10)])
    expected = false_discovery_control(chances) <= 0.05
    assert discoveries(chances).tolist() == expected.tolist()
    assert discoveries(np.zeros(0)).tolist() == []


def test_too_few_trials_are_said_so() -> None:
    found = explain(info(), planted(12))
    assert found.untold == "too few trials to tell: 12 measured, at least 20 are needed"
    assert not found.choices
    failed = [replace(t, status=TrialStatus.INFEASIBLE, measurements={}) for t in planted(30)[:15]]
    some = [*failed, *planted(30)[15:]]
    assert explain(info(), some).untold.startswith("too few trials to tell: 15 measured")
    assert explain(info(), []).untold.startswith("too few trials to tell: 0 measured")


def test_trials_that_are_not_measured_teach_nothing() -> None:
    trials = planted(60)
    broken = replace(trials[5], number=60, status=TrialStatus.FAILED, measurements={})
    found = explain(info(), [*trials, broken])
    assert (found.total, found.measured) == (61, 60)
    assert found.choices == explain(info(), trials).choices


def test_one_policy_tells_nothing() -> None:
    same = [trial(n, {"a": "int8"}, {"accuracy": 0.9, "latency_ms": 1.0}) for n in range(25)]
    assert explain(info(), same).untold == "nothing to tell: all trials have the same policy"


def test_an_objective_that_never_changes_is_not_told() -> None:
    trials = [changed(t, accuracy=0.9) for t in planted(60)]
    found = explain(info(), trials)
    assert [d.told for d in found.doubts] == [False, True]
    assert found.objectives == [LATENCY]
    assert {tuple(c.effects) for c in found.choices} == {("latency_ms",)}
    # Without accuracy nothing can be called free.
    assert not found.of(Verdict.FREE)
    assert found.of(Verdict.GAIN)


def test_three_objectives_and_exact_ones() -> None:
    found = explain(info(ACCURACY, LATENCY, SIZE), planted(120))
    assert [d.quality for d in found.doubts] == [True, False, False]
    [size] = {round(c.effects["size_bytes"].value, -3) for c in found.choices if c.option == "int8"}
    assert size == pytest.approx(-75e3, abs=2e3)
    assert len(explain(info(LATENCY), planted(60)).doubts) == 1


def test_policies_averaged_over_are_the_front_and_those_behind() -> None:
    line = [trial(n, {"a": "int8"}, {"accuracy": n, "latency_ms": n}) for n in range(20)]
    chosen, words = bases(info(), line)
    assert words == f"{COUNT} policies of the front (out of 20)"
    assert len(chosen) == COUNT
    assert {t.number for t in chosen} >= {0, 19}

    trials = planted(200)
    members = [t.number for t in front(trials, info().objectives)]
    behind = COUNT - len(members)
    assert behind > 0
    chosen, words = bases(info(), trials)
    numbers = [t.number for t in chosen]
    assert (
        words == f"{COUNT} policies: the front ({len(members)}) and the best behind it ({behind})"
    )
    assert numbers[: len(members)] == members
    rest = front([t for t in trials if t.number not in members], info().objectives)
    assert len(set(numbers)) == COUNT
    assert len({t.number for t in rest} & set(numbers)) == min(len(rest), behind)

    part = {"count": 10, "of": 100, "best": 1.0}
    stopped = [
        replace(t, measurements={**t.measurements, "accuracy": Measurement(0.9, samples=part)})
        for t in trials[:30]
    ]
    chosen, words = bases(info(), stopped)
    assert all(t.partial for t in chosen)
    assert words == f"{COUNT} policies: the front (0) and the best behind it ({COUNT})"

    broken = [replace(t, violations=("accuracy >= 1",)) for t in trials[:30]]
    chosen, words = bases(info(), broken)
    assert words.endswith("though all violate a constraint")
    assert chosen


def test_verdicts() -> None:
    def effect(gain: float, half: float, real: bool) -> Effect:
        return Effect(-gain, -gain - half, -gain + half, gain, real)

    spans = {"a": 1.0, "b": 1.0}
    up, down = effect(0.5, 0.01, True), effect(-0.5, 0.01, True)
    nothing, vague = effect(0.0, 0.05, False), effect(0.0, 0.3, False)
    cases = {
        (up, nothing): Verdict.FREE,
        (up, vague): Verdict.GAIN,
        (up, up): Verdict.FREE,
        (up, down): Verdict.TRADE,
        (down, nothing): Verdict.WASTE,
        (down, vague): Verdict.LOSS,
        (vague, nothing): Verdict.UNCLEAR,
    }
    for (a, b), expected in cases.items():
        assert verdict({"a": a, "b": b}, spans) is expected
        assert verdict({"a": b, "b": a}, spans) is expected
    assert verdict({"a": up}, spans) is Verdict.GAIN
    assert verdict({"a": down}, spans) is Verdict.LOSS


def test_very_many_trials_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretune.search.explaining.explaining.MOST", 50)
    found = explain(info(), planted(200))
    assert found.measured == 200
    assert 50 <= len(found.trials) <= 50 + COUNT
    kept = {t.number for t in found.trials}
    assert {t.number for t in found.bases} <= kept
    assert max(np.diff(sorted(kept))) <= 5

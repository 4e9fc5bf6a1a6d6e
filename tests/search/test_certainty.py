"""Dominance with intervals: a relation with laws, and claims that hold."""

from collections.abc import Mapping

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.evaluators import Measurement, Metric
from paretune.evaluators.intervals import paired_shares
from paretune.search.board import Reals, points
from paretune.search.certainty import Relation, pairing, relations, spans
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Choice, Policy

ACCURACY = Metric("accuracy", "", "maximize", "")
LATENCY = Metric("latency_ms", "ms", "minimize", "")
SIZE = Metric("size_bytes", "bytes", "minimize", "")
OBJECTIVES = (ACCURACY, LATENCY, SIZE)
OPPOSITE = {Relation.BETTER: Relation.WORSE, Relation.WORSE: Relation.BETTER}

_POLICY = Policy.of({"layer": Choice.parse("fp32")})
_values = st.integers(0, 4).map(float)
_widths = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.5])


def trial(number: int, figures: Mapping[str, Measurement]) -> Trial:
    return Trial(number, TrialStatus.COMPLETE, _POLICY, figures)


@st.composite
def trials(draw: st.DrawFn, exact: bool = False) -> list[Trial]:
    """Up to six trials on a coarse grid, where ties and touching intervals are common."""
    found = []
    for number in range(draw(st.integers(1, 6))):
        figures = {}
        for metric in OBJECTIVES:
            value = draw(_values)
            below, above = (0.0, 0.0) if exact else (draw(_widths), draw(_widths))
            none = exact and draw(st.booleans())
            figures[metric.name] = (
                Measurement(value) if none else Measurement(value, value - below, value + above)
            )
        found.append(trial(number, figures))
    return found


@given(trials())
def test_better_one_way_is_worse_the_other_way(found: list[Trial]) -> None:
    table = relations(found, found, OBJECTIVES)
    for i in range(len(found)):
        assert table[i][i] is Relation.TIE
        for j in range(len(found)):
            assert table[j][i] is OPPOSITE.get(table[i][j], table[i][j])


@given(trials())
def test_better_is_dominance_that_the_noise_does_not_explain(found: list[Trial]) -> None:
    costs = points(found, OBJECTIVES)
    table = relations(found, found, OBJECTIVES)
    for i, first in enumerate(found):
        for j, second in enumerate(found):
            sure = False
            for metric in OBJECTIVES:
                a, b = first.figures[metric.name], second.figures[metric.name]
                if metric.direction == "maximize":
                    a, b = b, a
                sure |= a.high is not None and b.low is not None and a.high < b.low
            dominates = (costs[i] <= costs[j]).all() and (costs[i] < costs[j]).any()
            assert (table[i][j] is Relation.BETTER) == (sure and dominates)


@given(trials(exact=True))
def test_exact_figures_give_plain_dominance(found: list[Trial]) -> None:
    costs = points(found, OBJECTIVES)
    table = relations(found, found, OBJECTIVES)
    for i in range(len(found)):
        for j in range(len(found)):
            better = table[i][j] is Relation.BETTER
            if (costs[i] == costs[j]).all():
                assert table[i][j] is Relation.TIE
            else:
                assert better == (not moocore.is_nondominated(costs[[i, j]])[1])


@given(trials())
def test_closeness_says_whether_intervals_meet(found: list[Trial]) -> None:
    both = spans(found, OBJECTIVES)
    close = both.closeness(both)
    assert (close == close.transpose(1, 0, 2)).all()
    sure = both.surely_better(both)
    assert (close[sure] > 1).all()
    assert (close[~sure & ~sure.transpose(1, 0, 2)] <= 1).all()


def test_what_is_paired_with_fp32_speaks_for_a_metric() -> None:
    wide = {"accuracy": Measurement(0.9, 0.88, 0.92), "latency_ms": Measurement(1.0, 0.8, 1.2)}
    low = {"accuracy": Measurement(0.89, 0.87, 0.91), "latency_ms": Measurement(1.1, 0.9, 1.3)}
    one, other = trial(0, wide), trial(1, low)
    assert relations([one], [other], (ACCURACY, LATENCY)) == [[Relation.TIE]]
    one = trial(0, {**wide, "accuracy_drop": Measurement(0.0, -0.002, 0.002)})
    other = trial(1, {**low, "accuracy_drop": Measurement(0.01, 0.007, 0.013)})
    assert pairing(ACCURACY, [one, other]) == "accuracy_drop"
    assert relations([one], [other], (ACCURACY, LATENCY)) == [[Relation.BETTER]]
    faster = {"latency_ratio": Measurement(0.5, 0.49, 0.51), **wide}
    slower = {"latency_ratio": Measurement(0.55, 0.54, 0.56), **low}
    assert pairing(LATENCY.on("pi"), [one]) is None
    assert relations([trial(0, faster)], [trial(1, slower)], (LATENCY,)) == [[Relation.BETTER]]


def test_what_is_surely_better_but_seems_a_little_worse_elsewhere_is_a_trade_off() -> None:
    one = trial(0, {"accuracy": Measurement(0.899, 0.89, 0.91), "latency_ms": Measurement(1.0)})
    other = trial(1, {"accuracy": Measurement(0.9, 0.89, 0.91), "latency_ms": Measurement(2.0)})
    assert relations([one], [other], (ACCURACY, LATENCY)) == [[Relation.TRADE_OFF]]


DROP, RATIO = Metric("drop", "", "minimize", ""), Metric("ratio", "", "minimize", "")


def drops(rng: np.random.Generator, error: Reals, samples: int) -> list[Measurement]:
    """Accuracy lost by models whose scores are off by so much, on the same samples.

    A sample is answered rightly if its score is positive; those near 0 are the ones that change.
    """
    scores = rng.normal(1.4, 1.0, samples)
    right = scores > 0
    found = []
    for size in error:
        changed = scores - 0.1 * size + size * rng.normal(size=samples) > 0
        gained, lost = int((changed & ~right).sum()), int((~changed & right).sum())
        low, high = paired_shares(lost, gained, samples)
        found.append(Measurement((lost - gained) / samples, low, high))
    return found


def ratios(rng: np.random.Generator, latency: Reals) -> list[Measurement]:
    """Latencies that are known to 0.8%."""
    found = latency * (1 + 0.004 * rng.normal(size=len(latency)))
    return [Measurement(t, t * (1 - 0.0078), t * (1 + 0.0078)) for t in found]


def trials_of(loss: list[Measurement], latency: list[Measurement]) -> list[Trial]:
    pairs = enumerate(zip(loss, latency, strict=True))
    return [trial(i, {"drop": drop, "ratio": ratio}) for i, (drop, ratio) in pairs]


@pytest.mark.parametrize("tested", [2_000, 10_000])
def test_claims_hold_on_fresh_figures(tested: int) -> None:
    """Simulated searches: what wins on the search data is better on fresh latencies and the test.

    The front is chosen among 50 policies by noisy figures, so its accuracies are flattered; its
    latencies are confirmed.
    """
    rng = np.random.default_rng(0)
    claimed = held = 0
    for _ in range(60):
        latency = rng.uniform(0.5, 1.1, 50)
        error = 0.5 * rng.lognormal(-1, 1, 50) * (1.2 - latency)
        # The first one stands for uniform int8, which nothing has selected.
        latency[0], error[0] = 0.7, 0.08
        known = drops(rng, error, 2_000)
        searched = points(trials_of(known, ratios(rng, latency)), (DROP, RATIO))
        confirmed = trials_of(known, ratios(rng, latency))
        fresh = trials_of(drops(rng, error, tested), ratios(rng, latency))
        for i in np.flatnonzero(moocore.is_nondominated(searched)):
            if relations([confirmed[i]], [confirmed[0]], (DROP, RATIO)) == [[Relation.BETTER]]:
                claimed += 1
                both = spans([fresh[i], fresh[0]], (DROP, RATIO))
                surely_worse = both.surely_better(both)[1, 0].any()
                held += bool((both.value[0] < both.value[1]).any() and not surely_worse)
    assert claimed > 100
    assert held / claimed >= 0.95

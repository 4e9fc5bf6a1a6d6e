"""Pooling: several measurements as one, as sure as they deserve."""

import json

import numpy as np
import pytest

from paretune.evaluators import Measurement
from paretune.evaluators.pooling import pool, repeatable, rounds


def taken(value: float, half: float, *flags: str) -> Measurement:
    return Measurement(value, value - half, value + half, {"count": 20}, {"threads": 1}, flags)


def test_rounds_that_agree_narrow_the_interval() -> None:
    both = pool(taken(1.0, 0.02), taken(1.01, 0.02))
    assert both.value == pytest.approx(1.005)
    assert both.low is not None and both.high is not None
    assert both.high - both.value == pytest.approx(0.02 / np.sqrt(2))
    assert both.conditions == {"threads": 1}
    sharper = pool(taken(1.0, 0.03), taken(1.01, 0.01))
    assert sharper.value == pytest.approx((1.0 + 9 * 1.01) / 10)


def test_rounds_that_disagree_widen_it() -> None:
    apart = pool(taken(1.0, 0.01), taken(1.2, 0.01))
    assert apart.low is not None and apart.high is not None
    assert apart.low == pytest.approx(1.1 - 1.96 * 0.1)
    assert apart.high == pytest.approx(1.1 + 1.96 * 0.1)
    accident = pool(taken(1.0, 0.0), taken(1.2, 0.01))
    assert accident.low == pytest.approx(1.0) and accident.high == pytest.approx(1.2)


def test_pooling_goes_on_and_survives_the_journal() -> None:
    single = [taken(1.0, 0.02, "cold"), taken(1.02, 0.03), taken(0.97, 0.01)]
    once = pool(*single)
    stepwise = pool(pool(single[0], single[1]), single[2])
    assert stepwise == once
    read = Measurement.from_dict(json.loads(json.dumps(once.to_dict())))
    assert rounds(read) == tuple(single)
    assert rounds(single[0]) == (single[0],)
    assert pool(single[0]) is single[0]


def test_a_flag_stays_where_every_round_carries_it() -> None:
    both = pool(taken(1.0, 0.02, "cold", "disturbed"), taken(1.0, 0.02, "disturbed"))
    assert both.flags == ("disturbed",)


def test_exact_figures_are_not_pooled() -> None:
    with pytest.raises(ValueError, match="an exact figure cannot be pooled, but got 2"):
        pool(Measurement(2.0), taken(2.0, 0.1))


def test_what_measuring_again_can_change() -> None:
    assert repeatable(Measurement(2.0))
    assert repeatable(Measurement(0.9, 0.8, 1.0, conditions={"split": "search"}))
    assert not repeatable(taken(1.0, 0.1))


@pytest.mark.parametrize("moods", [0.0, 0.02])
def test_the_interval_holds_the_truth(moods: float) -> None:
    """Noise as the intervals say, and rounds in moods of the machine that they know nothing of.

    Of two rounds nobody can tell how far moods reach; of four it mostly shows.
    """
    rng = np.random.default_rng(0)
    noise = 0.01
    held = 0
    for _ in range(2000):
        values = 1 + moods * rng.normal(size=4) + noise * rng.normal(size=4)
        found = pool(*(taken(float(value), 1.96 * noise) for value in values))
        assert found.low is not None and found.high is not None
        held += found.low <= 1 <= found.high
    assert held / 2000 > (0.94 if moods == 0 else 0.85)

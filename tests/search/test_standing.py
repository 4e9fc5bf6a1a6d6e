"""Where trials stand: what is said to be better is better on fresh samples, too."""

import pytest

from paretune.evaluators import Measurement
from paretune.search.certainty import Relation
from paretune.search.standing import standings
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy, Precision
from tests.search.fake import make_info, make_space

INFO, SPACE = make_info(), make_space()
INT8 = SPACE.uniform(Precision.INT8)
OTHER = SPACE.uniform(Precision.W4)
UNIFORM = "uniform int8"


def measured(accuracy: float, latency: float, split: str) -> dict[str, Measurement]:
    return {
        "accuracy": Measurement(
            accuracy, accuracy - 0.01, accuracy + 0.01, conditions={"split": split}
        ),
        "latency_ms": Measurement(latency, latency - 0.1, latency + 0.1),
        "size_bytes": Measurement(1.0),
    }


def trial(
    number: int,
    policy: Policy,
    search: tuple[float, float],
    test: tuple[float, float] | None = None,
) -> Trial:
    found = measured(*search, "search")
    tested = {} if test is None else measured(*test, "test")
    return Trial(number, TrialStatus.COMPLETE, policy, found, confirmed=found, test=tested)


BETTER = (0.901, 4.0)
"""Lucky by 0.1 points of accuracy, and surely faster."""


@pytest.mark.parametrize(
    ("test", "relation"),
    [
        (None, Relation.BETTER),
        ((0.88, 4.0), Relation.BETTER),
        ((0.879, 4.0), Relation.TRADE_OFF),
        ((0.85, 4.0), Relation.TRADE_OFF),
        ((0.85, 5.9), Relation.TRADE_OFF),
    ],
    ids=["untested", "better", "a little worse", "worse", "slower once"],
)
def test_what_is_better_is_so_on_the_test_split(
    test: tuple[float, float] | None, relation: Relation
) -> None:
    uniform = trial(0, INT8, (0.9, 5.0), (0.88, 5.0))
    member = trial(1, OTHER, BETTER, test)
    assert standings(INFO, [uniform, member], [member])[1].versus[UNIFORM] is relation


def test_times_of_both_splits_are_rounds_of_one_measurement() -> None:
    uniform = trial(0, INT8, (0.9, 5.0), (0.88, 5.0))
    # Once a little slower and once a little faster: it cannot be told.
    member = trial(1, OTHER, (0.9, 5.3), (0.88, 4.7))
    found = standings(INFO, [uniform, member], [member, uniform])
    assert found[1].versus[UNIFORM] is Relation.TIE
    assert found[0].ties == (1,) and found[1].ties == (0,)


def test_a_landmark_that_is_not_tested_says_nothing() -> None:
    uniform = trial(0, INT8, (0.9, 5.0))
    member = trial(1, OTHER, BETTER, (0.5, 9.0))
    assert standings(INFO, [uniform, member], [member])[1].versus[UNIFORM] is Relation.BETTER


def test_bad_luck_on_the_search_split_does_not_count_either() -> None:
    uniform = trial(0, INT8, (0.9, 5.0), (0.9, 5.0))
    member = trial(1, OTHER, (0.899, 4.0), (0.901, 4.0))
    assert standings(INFO, [uniform, member], [member])[1].versus[UNIFORM] is Relation.BETTER

"""The archive: trial by trial it says what looking at all trials would."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.evaluators import Measurement
from paretune.search.archive import Archive, worst_point
from paretune.search.front import front, hypervolume
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Choice, Policy
from tests.search.fake import ACCURACY, LATENCY

OBJECTIVES = (ACCURACY, LATENCY)
POLICY = Policy.of({"layer": Choice()})


@st.composite
def trials(draw: st.DrawFn) -> list[Trial]:
    found = []
    for number in range(draw(st.integers(1, 12))):
        # Few different values, so that trials tie and coincide.
        accuracy, latency = draw(st.integers(0, 5)), draw(st.integers(0, 5))
        measured = {
            "accuracy": Measurement(float(accuracy)),
            "latency_ms": Measurement(float(latency)),
        }
        broken = ("accuracy >= 9",) if draw(st.booleans()) else ()
        found.append(Trial(number, TrialStatus.COMPLETE, POLICY, measured, violations=broken))
    return found


@given(trials(), st.booleans())
def test_one_by_one_is_as_all_at_once(found: list[Trial], at_once: bool) -> None:
    archive = Archive(OBJECTIVES)
    reference = worst_point(found, OBJECTIVES)
    archive.set_reference(reference)
    for batch in [found] if at_once else [[trial] for trial in found]:
        archive.extend(batch)
    assert archive.members == front(found, OBJECTIVES)
    assert archive.hypervolume == pytest.approx(hypervolume(found, OBJECTIVES, np.array(reference)))


@given(trials())
def test_the_worst_point_is_dominated_by_every_trial(found: list[Trial]) -> None:
    accuracy, latency = worst_point(found, OBJECTIVES)
    assert accuracy == -min(trial.measurements["accuracy"].value for trial in found)
    assert latency == max(trial.measurements["latency_ms"].value for trial in found)


def test_without_a_reference_there_is_no_hypervolume() -> None:
    archive = Archive(OBJECTIVES)
    measured = {"accuracy": Measurement(1.0), "latency_ms": Measurement(1.0)}
    archive.extend([Trial(0, TrialStatus.COMPLETE, POLICY, measured)])
    assert len(archive.members) == 1
    assert archive.hypervolume is None

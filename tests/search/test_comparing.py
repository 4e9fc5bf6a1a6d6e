"""Figures of different conditions never meet: not in a search, not in a front."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paretune.errors import UserError
from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.search.bench import Measured
from paretune.search.comparing import PATIENCE
from paretune.search.front import front
from paretune.search.rule import Knee
from paretune.search.table import front_table
from paretune.search.trial import TrialStatus
from tests.search.driving import Stop, search, trials_of
from tests.search.fake import FakeBench
from tests.search.synthetic import make_info, make_trials
from tests.search.test_crew import Several, search_with

OLD, NEW = {"runtime": "1.31", "threads": 1}, {"runtime": "1.32", "threads": 1}


class Device(FakeBench):
    """Measures under conditions that may change.

    Attributes:
        calls: measurements so far.
    """

    def __init__(self, conditions: Callable[[int, SplitName], dict[str, Any]]) -> None:
        super().__init__()
        self._conditions = conditions
        self.calls = 0

    def measure(self, artifact: Artifact, split: SplitName) -> Measured:
        measured, seconds = super().measure(artifact, split)
        conditions = self._conditions(self.calls, split)
        self.calls += 1
        latency = replace(measured["latency_ms"], conditions=conditions)
        return {**measured, "latency_ms": latency}, seconds


def runtimes_of(folder: Path) -> set[str]:
    """Of every figure in the study."""
    return {
        measured["latency_ms"].conditions["runtime"]
        for trial in trials_of(folder)
        for measured in (trial.measurements, trial.confirmed, trial.test)
        if measured
    }


def test_a_study_is_not_resumed_under_other_conditions(tmp_path: Path) -> None:
    search(tmp_path, Device(lambda *_: OLD), 10)
    before = (tmp_path / "study.journal").read_bytes()
    changed = Device(lambda *_: NEW)
    with pytest.raises(UserError) as caught:
        search(tmp_path, changed, 30)
    message = str(caught.value)
    assert "the study 'fake' was measured under other conditions" in message
    assert "latency_ms: runtime was 1.31, is now 1.32." in message
    assert "threads" not in message
    assert "Go back to the earlier conditions, or choose another output folder" in message
    # It came to light with the first measurement, and left nothing behind.
    assert changed.calls == 1
    assert (tmp_path / "study.journal").read_bytes() == before
    search(tmp_path, Device(lambda *_: OLD), 30)
    assert len(trials_of(tmp_path)) == 30


def test_a_front_is_not_confirmed_under_other_conditions(tmp_path: Path) -> None:
    def killed(calls: int, split: SplitName) -> dict[str, Any]:
        if calls == 10:
            raise Stop
        return OLD

    with pytest.raises(Stop):
        search(tmp_path, Device(killed), 10)
    before = (tmp_path / "study.journal").read_bytes()
    # The search is done; confirming is what is left.
    with pytest.raises(UserError, match=r"latency_ms: runtime was 1\.31, is now 1\.32"):
        search(tmp_path, Device(lambda *_: NEW), 10)
    assert (tmp_path / "study.journal").read_bytes() == before
    search(tmp_path, Device(lambda *_: OLD), 10)
    trials = trials_of(tmp_path)
    assert all(
        member.confirmed and member.test for member in front(trials, FakeBench().info.objectives)
    )


def test_a_device_that_comes_back_changed_does_not_mix(tmp_path: Path) -> None:
    # From the 15th to the 24th measurement another version answers; each is tried twice.
    device = Device(lambda calls, _: NEW if 14 <= calls < 24 else OLD)
    outcome = search(tmp_path, device, 30)
    assert outcome.reason == "all 30 trials are done"
    trials = trials_of(tmp_path)
    failed = [trial for trial in trials if trial.status is TrialStatus.FAILED]
    assert [trial.number for trial in failed] == [14, 15, 16, 17, 18]
    for trial in failed:
        assert not trial.measurements
        assert "latency_ms: runtime was 1.31, is now 1.32" in trial.reason
        assert "cannot be compared with earlier trials" in trial.reason
    assert runtimes_of(tmp_path) == {"1.31"}


def test_what_is_measured_elsewhere_does_not_mix_either(tmp_path: Path) -> None:
    device = Device(lambda calls, _: NEW if 14 <= calls < 19 else OLD)
    search_with(tmp_path, Several(device, tmp_path / "candidate.onnx", 3), device, 30)
    failed = [trial for trial in trials_of(tmp_path) if trial.status is TrialStatus.FAILED]
    assert len(failed) == 5
    for trial in failed:
        assert not trial.measurements
        assert "latency_ms: runtime was 1.31, is now 1.32" in trial.reason
        assert trial.transient
    assert runtimes_of(tmp_path) == {"1.31"}


def test_a_device_that_stays_changed_ends_the_search(tmp_path: Path) -> None:
    device = Device(lambda calls, _: OLD if calls < 14 else NEW)
    with pytest.raises(UserError, match=r"latency_ms: runtime was 1\.31, is now 1\.32"):
        search(tmp_path, device, 1000)
    assert device.calls == 14 + PATIENCE
    assert runtimes_of(tmp_path) == {"1.31"}
    # Back under the old conditions it goes on.
    search(tmp_path, Device(lambda *_: OLD), 40)
    assert sum(t.status is TrialStatus.COMPLETE for t in trials_of(tmp_path)) > 20


def test_a_search_whose_reference_alone_is_comparable_goes_on(tmp_path: Path) -> None:
    device = Device(lambda calls, _: NEW if calls == 1 else OLD)
    search(tmp_path, device, 10)
    assert {trial.status for trial in trials_of(tmp_path)} == {TrialStatus.COMPLETE}


def test_a_member_is_not_confirmed_under_other_conditions(tmp_path: Path) -> None:
    calls: list[SplitName] = []

    def conditions(_: int, split: SplitName) -> dict[str, Any]:
        calls.append(split)
        return NEW if 20 <= len(calls) - 1 < 22 else OLD

    search(tmp_path, Device(conditions), 20)
    assert calls[20:22] == ["search", "search"]
    assert runtimes_of(tmp_path) == {"1.31"}


def test_splits_may_have_conditions_of_their_own(tmp_path: Path) -> None:
    device = Device(lambda _, split: {**OLD, "split": split})
    search(tmp_path, device, 20)
    members = front(trials_of(tmp_path), device.info.objectives)
    assert all(member.confirmed and member.test for member in members)


def test_a_condition_that_was_not_told_before_is_a_difference(tmp_path: Path) -> None:
    search(tmp_path, Device(lambda *_: OLD), 10)
    with pytest.raises(UserError, match="latency_ms: governor was not told, is now powersave"):
        search(tmp_path, Device(lambda *_: {**OLD, "governor": "powersave"}), 12)


def test_a_front_refuses_to_compare() -> None:
    info, trials = make_info(), make_trials(20, confirm=False)
    feasible = [trial.number for trial in trials if trial.feasible]
    odd = feasible[3]
    latency = trials[odd].measurements["latency_ms"]
    changed = {**trials[odd].measurements}
    changed["latency_ms"] = replace(latency, conditions={"threads": 2, "batch": 1})
    trials[odd] = replace(trials[odd], measurements=changed)
    message = (
        f"trials {feasible[0]} and {odd} cannot be compared, as they were measured under different"
        " conditions: latency_ms: threads was 1, is now 2"
    )
    for refused in (
        lambda: front(trials, info.objectives),
        lambda: front_table(info, trials),
        lambda: Knee().choose(info, trials),
    ):
        with pytest.raises(UserError) as caught:
            refused()
        assert str(caught.value) == message
    # Where the metric plays no part, there is nothing to refuse.
    assert front(trials, info.objectives[:1])


def test_studies_of_earlier_versions_can_be_looked_at() -> None:
    info = make_info()
    trials = [
        replace(
            trial,
            measurements={
                name: Measurement(
                    m.value, conditions={"threads": 1, "blocks": trial.number, "runs_per_block": 3}
                )
                for name, m in trial.measurements.items()
            },
        )
        for trial in make_trials(20, confirm=False)
    ]
    assert not front_table(info, trials).empty

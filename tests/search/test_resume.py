"""Going on where a search stopped, however it stopped."""

from pathlib import Path

import pytest

from paretune.evaluators import SplitName
from paretune.search.driver import Outcome
from paretune.search.front import front
from paretune.search.interrupt import Interrupt
from paretune.search.listener import Phase
from paretune.search.store import StudyStore
from paretune.search.trial import Trial
from paretune.spaces import Policy, Precision
from tests.search.driving import Recorder, Stop, search, trials_of
from tests.search.fake import FakeBench, make_space


def test_a_search_goes_on_with_more_budget(tmp_path: Path) -> None:
    bench = FakeBench()
    search(tmp_path, bench, 30, sampler="nsga2")
    before = trials_of(tmp_path)
    confirmed = sum(bool(trial.confirmed) for trial in before)
    assert search(tmp_path, bench, 30).reason == "all 30 trials are done"
    assert trials_of(tmp_path) == before
    search(tmp_path, bench, 50, sampler="nsga2")
    after = trials_of(tmp_path)
    assert [trial.policy for trial in after[:30]] == [trial.policy for trial in before]
    assert len({trial.policy for trial in after}) == 50
    measured = [policy for policy, split in bench.measured if split == "search"]
    assert len(measured) == 50 + sum(bool(trial.confirmed) for trial in after)
    assert sum(bool(trial.confirmed) for trial in after) >= confirmed


def test_an_evolution_goes_on_with_its_generation(tmp_path: Path) -> None:
    bench = FakeBench(make_space(6))
    search(tmp_path, bench, 80, sampler="nsga2")
    search(tmp_path, bench, 130, sampler="nsga2")
    with StudyStore.open(tmp_path) as store:
        attrs = store.sampler_attrs()
    generations = [attrs[number]["NSGAIISampler:generation"] for number in range(130)]
    assert generations == sorted(generations)
    assert generations[0] == 0
    assert 1 <= generations[79] <= generations[80] <= generations[79] + 1


@pytest.mark.parametrize("phase", [Phase.SEARCH, Phase.CONFIRM, Phase.TEST])
def test_a_killed_search_ends_as_if_it_had_not_been(tmp_path: Path, phase: Phase) -> None:
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    for folder in (quiet, killed):
        folder.mkdir()
    search(quiet, FakeBench(make_space(2)), 27)
    kill: list[int] = []
    recorder: Recorder

    def on_trial(trial: Trial) -> None:
        kill.append(trial.number)
        if recorder.snapshots[-1].phase is phase and len(kill) > 3:
            raise Stop

    recorder = Recorder(on_trial)
    bench = FakeBench(make_space(2))
    with pytest.raises(Stop):
        search(killed, bench, 27, listeners=[recorder])
    search(killed, bench, 27)

    def outcome(folder: Path) -> dict[Policy, tuple[bool, bool]]:
        return {t.policy: (bool(t.confirmed), bool(t.test)) for t in trials_of(folder)}

    assert outcome(killed) == outcome(quiet)
    assert len(bench.measured) == len(set(bench.measured)) + sum(
        confirmed for confirmed, _ in outcome(killed).values()
    )


def test_the_first_interrupt_ends_the_search_and_confirms(tmp_path: Path) -> None:
    bench = FakeBench()
    interrupt = Interrupt(lambda: None)

    def on_trial(trial: Trial) -> None:
        interrupt.requested = interrupt.requested or trial.number == 20

    outcome = search(tmp_path, bench, 200, listeners=[Recorder(on_trial)], interrupt=interrupt)
    assert outcome == Outcome("interrupted", interrupted=True)
    trials = trials_of(tmp_path)
    assert len(trials) == 21
    assert all(trial.confirmed for trial in front(trials, bench.info.objectives))
    assert search(tmp_path, bench, 40).reason == "all 40 trials are done"


def test_an_abort_passes_through_and_leaves_no_scratch(tmp_path: Path) -> None:
    def trouble(policy: Policy, split: SplitName) -> None:
        if policy.items[0][1].precision == Precision.W4:
            raise KeyboardInterrupt

    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, FakeBench(trouble=trouble), listeners=[recorder])
    assert recorder.ended == 0
    assert not (tmp_path / "scratch").exists()
    assert trials_of(tmp_path)

"""The progress display: what it says, where, and that it never draws by itself."""

import io
import threading
from pathlib import Path

from rich.console import Console

from paretune.search.listener import Phase, Snapshot
from paretune.search.progress import LINE_TRIALS, ProgressDisplay, describe
from paretune.search.store import StudyStore
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy
from tests.search.fake import make_info

TRIAL = Trial(0, TrialStatus.FAILED, Policy.of({}))


def test_one_line_says_it_all() -> None:
    snapshot = Snapshot(
        trials=120,
        infeasible=2,
        failed=1,
        trial_limit=300,
        front_size=8,
        hypervolume=0.81234,
        trials_per_minute=62.4,
        seconds_left=174.2,
    )
    assert describe(snapshot) == (
        "120/300 trials (2 infeasible, 1 failed), front 8, hypervolume 0.8123, 62/min, 2m 54s left"
    )


def test_what_is_unknown_is_left_out() -> None:
    assert describe(Snapshot(trials=3, front_size=2)) == "3 trials, front 2"
    again = Snapshot(phase=Phase.CONFIRM, trials=3, done=1, total=4)
    assert describe(again) == "1/4 front members measured again"


def test_a_file_gets_a_line_now_and_then(tmp_path: Path) -> None:
    out = io.StringIO()
    with (
        ProgressDisplay(Console(file=out, width=120)) as display,
        StudyStore.create(tmp_path, make_info()) as store,
    ):
        display.on_start(store)
        display.on_phase(Snapshot())
        for count in range(1, 2 * LINE_TRIALS + 1):
            display.on_trial(TRIAL, Snapshot(trials=count))
        display.on_phase(Snapshot(phase=Phase.TEST, total=3))
        display.on_end(Snapshot(phase=Phase.TEST))
    lines = out.getvalue().splitlines()
    assert lines == [
        "search: 0 trials, front 0",
        f"search: {LINE_TRIALS} trials, front 0",
        f"search: {2 * LINE_TRIALS} trials, front 0",
        "test: 0/3 front members measured again",
    ]


def test_a_terminal_gets_a_bar_without_a_thread(tmp_path: Path) -> None:
    out = io.StringIO()
    threads = threading.active_count()
    console = Console(file=out, force_terminal=True, width=120)
    with (
        ProgressDisplay(console) as display,
        StudyStore.create(tmp_path, make_info()) as store,
    ):
        display.on_start(store)
        display.on_phase(Snapshot(trials=7, front_size=3, seconds_left=60.0))
        assert threading.active_count() == threads
        shown = len(out.getvalue())
        display.on_trial(TRIAL, Snapshot(trials=8))
        # Within a quarter of a second of the last drawing nothing is drawn.
        assert len(out.getvalue()) == shown
    assert "7 trials, front 3, 1m left" in out.getvalue()

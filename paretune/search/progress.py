"""Live progress in the terminal; plain lines where there is none."""

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from paretune.durations import format_duration
from paretune.search.listener import Phase, Snapshot
from paretune.search.store import StudyStore
from paretune.search.trial import Trial

REDRAW_S = 0.25
LINE_S = 10.0
LINE_TRIALS = 50

_DOING = {Phase.SEARCH: "search", Phase.CONFIRM: "confirm", Phase.TEST: "test"}


class ProgressDisplay:
    """A listener that draws. A context manager, so that the terminal is left in order.

    It draws between trials only: a thread that redraws would disturb the latency measurement.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal
        self._bar = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not self._live,
        )
        self._task: TaskID = self._bar.add_task("prepare", total=1.0, text="")
        self._begin = time.monotonic()
        self._drawn = 0.0
        self._drawn_trials = 0

    def preparing(self, done: int, total: int) -> None:
        """Tell how many choices of layers have been compressed."""
        now = time.monotonic()
        if done < total and now - self._drawn < (REDRAW_S if self._live else LINE_S):
            return
        self._drawn = now
        text = f"{done}/{total} choices of layers compressed"
        if self._live:
            share = done / max(total, 1)
            self._bar.update(
                self._task, description="prepare", completed=share, text=text, refresh=True
            )
        else:
            self._console.print(f"prepare: {text}", soft_wrap=True, highlight=False)

    def on_start(self, store: StudyStore) -> None:
        self._begin = time.monotonic()

    def on_trial(self, trial: Trial, snapshot: Snapshot) -> None:
        silent = time.monotonic() - self._drawn
        if self._live:
            if silent >= REDRAW_S:
                self._draw(snapshot)
        elif silent >= LINE_S or snapshot.trials - self._drawn_trials >= LINE_TRIALS:
            self._draw(snapshot)

    def on_phase(self, snapshot: Snapshot) -> None:
        self._draw(snapshot)

    def on_end(self, snapshot: Snapshot) -> None:
        text = "writing tables, figures and records"
        self._bar.update(self._task, description="report", completed=1.0, text=text, refresh=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _draw(self, snapshot: Snapshot) -> None:
        self._drawn = time.monotonic()
        self._drawn_trials = snapshot.trials
        text = describe(snapshot)
        doing = _DOING[snapshot.phase]
        if not self._live:
            self._console.print(f"{doing}: {text}", soft_wrap=True, highlight=False)
            return
        self._bar.update(
            self._task, description=doing, completed=self._share(snapshot), text=text, refresh=True
        )

    def _share(self, snapshot: Snapshot) -> float:
        if snapshot.total:
            return snapshot.done / snapshot.total
        if snapshot.seconds_left is None:
            return 0.0
        gone = time.monotonic() - self._begin
        return gone / max(gone + snapshot.seconds_left, 1e-9)


def describe(snapshot: Snapshot) -> str:
    """One line: `120/300 trials (2 infeasible), front 8, hypervolume 0.81, 62/min, 2m 54s left`."""
    if snapshot.phase is not Phase.SEARCH:
        return f"{snapshot.done}/{snapshot.total} front members measured again"
    limit = "" if snapshot.trial_limit is None else f"/{snapshot.trial_limit}"
    troubled = [
        f"{count} {name}"
        for count, name in ((snapshot.infeasible, "infeasible"), (snapshot.failed, "failed"))
        if count
    ]
    parts = [
        f"{snapshot.trials}{limit} trials" + (f" ({', '.join(troubled)})" if troubled else ""),
        f"front {snapshot.front_size}",
    ]
    if snapshot.hypervolume is not None:
        parts.append(f"hypervolume {snapshot.hypervolume:.4g}")
    if snapshot.trials_per_minute is not None:
        parts.append(f"{snapshot.trials_per_minute:.0f}/min")
    if snapshot.seconds_left is not None:
        parts.append(f"{format_duration(snapshot.seconds_left)} left")
    return ", ".join(parts)

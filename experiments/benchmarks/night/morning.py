"""What must be so on the morning after a night in which parts of it died."""

from pathlib import Path
from typing import Any

from experiments.benchmarks.kills.command import Command
from experiments.benchmarks.kills.whole import Broken, check_files
from experiments.benchmarks.mlflow_records import recorded
from experiments.benchmarks.night.night import Night
from experiments.benchmarks.night.story import Story
from paretune.search.confirm import final_members
from paretune.search.front import front
from paretune.search.store import StudyStore
from paretune.search.trial import TrialStatus


def check(night: Night, story: Story, folder: Path) -> dict[str, Any]:
    """Look at everything.

    Args:
        folder: for another MLflow store, and the pick.

    Returns:
        what was found.

    Raises:
        Broken: something is not as it must be.
    """
    store = StudyStore.open(night.study)
    check_trials(store, night.trials)
    if not story.complete:
        # As the search said.
        ended(night.command("sync", str(night.study)))
    mlflow = night.servers.mlflow
    found = recorded(mlflow.database, mlflow.artifacts, "night")
    chosen, again = folder / "picked", f"sqlite:///{folder / 'again.db'}"
    ended(
        night.command("sync", str(night.study), "--uri", again),
        night.command("pick", str(night.study), "--knee", "--output", str(chosen)),
    )
    if found != (fresh := recorded(again, folder / "mlartifacts", "night")):
        runs, others = found["runs"], fresh["runs"]
        odd = [name for name in {**runs, **others} if runs.get(name) != others.get(name)]
        raise Broken(
            f"MLflow's records are not those that `paretune sync` writes: runs {odd or 'alike'},"
            f" models {found['models']}, {fresh['models']}"
        )
    files = check_files(night.study)
    left = night.left_over()
    if night.temporary_files():
        raise Broken(f"temporary files are left: {night.temporary_files()}")
    return {
        "trials": night.trials,
        "seconds": round(story.seconds),
        "front": len(front(store.trials(), store.info.objectives)),
        "jobs_of_the_killed_worker": story.lost_jobs,
        "mlflow_away_s": round(story.mlflow_away_s, 1),
        "synced_by_hand": not story.complete,
        "mlflow_runs": len(found["runs"]),
        "picked_bytes": (chosen / "model.onnx").stat().st_size,
        "files_read": files,
        "last_process_ended_after_s": round(left, 2),
    }


def check_trials(store: StudyStore, count: int) -> None:
    """As many as were asked for, each policy once, none lost; the front confirmed and tested."""
    trials = store.trials()
    if [trial.number for trial in trials] != list(range(count)):
        raise Broken(f"the study has {len(trials)} trials instead of {count}")
    if len({trial.policy for trial in trials}) != count:
        raise Broken("a policy was measured more than once")
    if failed := [trial.reason for trial in trials if trial.status is TrialStatus.FAILED]:
        raise Broken(f"trials were lost: {failed}")
    for member in final_members(store.info, trials):
        if not (member.confirmed and member.test):
            raise Broken(f"trial {member.number} is on the front, but not confirmed and tested")


def ended(*commands: Command) -> None:
    """Wait for commands that run at the same time.

    Raises:
        Broken: one fails.
    """
    for command in commands:
        if code := command.process.wait():
            raise Broken(f"a command ended with {code}:\n{command.output}")

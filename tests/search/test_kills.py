"""A search that is killed in every phase, one after the other, ends as one that was left alone."""

import hashlib
from pathlib import Path

from experiments.benchmarks.kills.command import Command, Phase
from experiments.benchmarks.kills.whole import check_files, check_journal, passing
from paretune.search.confirm import final_members
from paretune.search.store import StudyStore
from paretune.search.study import Study
from tests.evaluators.processes.test_worker import wait_until
from tests.search.command import paretune
from tests.search.tiny import project, write

__all__ = ["project"]

DEADLY = '''
import glob
import os
import signal
import threading
from pathlib import Path

import tiny_data

HERE = Path(__file__).parent
calls = []


def data():
    if "prepare" in os.environ.get("KILL", ""):
        threading.Thread(target=kill_preparing, daemon=True).start()
    return tiny_data.data()


def kill_preparing():
    while not glob.glob(str(HERE / "runs/tiny/cache/*/pieces/*")):
        pass
    os.kill(os.getpid(), signal.SIGKILL)


def metric(outputs, targets):
    """Runs in the evaluating process, whose parent is the driver."""
    calls.append(1)
    for order in os.environ.get("KILL", "").split():
        phase, _, victim = order.partition(":")
        if len(calls) > 4 and phase == phase_now() and not (HERE / order).exists():
            (HERE / order).touch()
            if victim != "child":
                os.kill(os.getppid(), signal.SIGKILL)
            if victim != "driver":
                os.kill(os.getpid(), signal.SIGKILL)
    return outputs["logits"].argmax(axis=1) == targets


def phase_now():
    said = (HERE / "said").read_text()
    found = [name for name in ("search", "confirm", "test") if f"{name}: " in said]
    return found[-1] if found else "pick"
'''

KILLED = -9


class Searches:
    """The commands on the study of `tiny.yaml`; each is looked at when it has ended."""

    def __init__(self, folder: Path) -> None:
        self.study = folder / "runs" / "tiny"
        self._folder = folder
        self._temporary = folder / "tmp"
        self._lines: list[bytes] = []

    def run(self, *arguments: str, kill: str = "") -> tuple[int, Phase]:
        """Run a command to its end, one way or the other.

        Args:
            kill: whom to kill in which phase: `search:child confirm:both`.

        Returns:
            its exit code, and the phase in which it ended.
        """
        said = self._folder / "said"
        command = Command(
            arguments, self.study, said, self._temporary, self._folder, {"KILL": kill}
        )
        code = command.process.wait(60)
        assert "Traceback" not in command.output, command.output
        phase = command.phase()
        command.left_over()
        self._lines = check_journal(self.study, self._lines)
        check_files(self.study)
        left = [*passing(self.study), *self._temporary.iterdir()]
        assert len(left) < 5 if code else not left, left
        return code, phase


def test_a_search_that_is_killed_in_every_phase(project: Path) -> None:
    (project / "deadly.py").write_text(DEADLY)
    functions = {"own": {"function": "deadly:metric", "direction": "maximize"}}
    write(
        project,
        data="deadly:data",
        objectives=["own", "size_bytes"],
        evaluators=[{"type": "accuracy", "functions": functions}],
        search={"trials": 8, "sampler": "nsga2", "racing": False},
    )
    searches = Searches(project)
    for kill in ("prepare:driver", "search:both", "search:child confirm:driver", "test:driver"):
        code, phase = searches.run("search", "tiny.yaml", kill=kill)
        assert code == KILLED
        assert phase == kill.split()[-1].partition(":")[0]
    assert searches.run("search", "tiny.yaml")[0] == 0
    store = StudyStore.open(searches.study)
    trials = store.trials()
    assert len({trial.policy for trial in trials}) == len(trials) == 8
    assert not any(trial.transient for trial in trials)
    assert all(trial.confirmed and trial.test for trial in final_members(store.info, trials))

    assert searches.run("pick", "tiny.yaml", "--trial", "3", kill="pick:driver")[0] == KILLED
    assert searches.run("pick", "tiny.yaml", "--trial", "3")[0] == 0
    picked = (searches.study / "picks/trial-3/model.onnx").read_bytes()
    assert hashlib.sha256(picked).hexdigest() == trials[3].artifact_sha256

    (project / "said").write_text("")
    assert paretune("search", "tiny.yaml", "--output", "quiet").exit_code == 0
    quiet = {trial.policy: trial for trial in StudyStore.open(project / "quiet").trials()}
    with Study(project / "quiet").workbench() as bench:
        for trial in trials:
            artifact = bench.apply(trial.policy, project / "again.onnx")
            assert artifact.sha256 == trial.artifact_sha256
            measured, _ = bench.measure(artifact, "search")
            assert measured == trial.measurements
            assert quiet.get(trial.policy, trial).measurements == trial.measurements


def test_the_export_of_a_module_ends_with_its_search(project: Path) -> None:
    (project / "slow.py").write_text(
        "import time\nfrom pathlib import Path\n"
        "def model():\n"
        "    Path('exporting').touch()\n"
        "    time.sleep(1000)\n"
    )
    write(project, model="slow:model")
    said, temporary = project / "said", project / "tmp"
    command = Command(["search", "tiny.yaml"], project / "runs/tiny", said, temporary, project)
    wait_until(lambda: (project / "exporting").exists() or not command.running)
    assert len(command.family()) == 2, command.output
    command.process.kill()
    command.process.wait()
    command.left_over()

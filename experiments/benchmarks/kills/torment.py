"""One study: its searches and picks are killed again and again until it is complete."""

import hashlib
import random
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from experiments.benchmarks.kills.command import Command, Phase, Victim
from experiments.benchmarks.kills.whole import (
    Broken,
    check_database,
    check_files,
    check_journal,
    passing,
)
from paretune.search.store import StudyStore

EXPERIMENT = Path("experiments/digits.yaml")
_VICTIMS: tuple[Victim, ...] = ("driver", "driver", "both", "child")
_REFUSED = (1, 2)
_SEARCHING = [phase for phase in Phase if phase is not Phase.PICK]
_ALWAYS = (Phase.IMPORT, Phase.PREPARE)
_PICKS = 2
_MOST_LEFT = 6
"""So many files of killed processes, those of the last one, may be there at a time."""


@dataclass
class Toll:
    """What has happened so far.

    Attributes:
        phases, victims: what was killed, and how often.
        left_over_s: the longest that a process outlived its killed driver.
        refusals: commands that ended with a message, since a child of theirs was killed.
        files: that were read after kills.
    """

    phases: Counter[str] = field(default_factory=Counter)
    victims: Counter[str] = field(default_factory=Counter)
    left_over_s: float = 0.0
    refusals: int = 0
    files: int = 0

    @property
    def kills(self) -> int:
        return self.phases.total()


class Place:
    """A folder with a study, its MLflow database, and the commands that work on them."""

    def __init__(self, folder: Path, trials: int, sampler: str, seed: int) -> None:
        folder.mkdir(parents=True)
        self.folder = folder.resolve()
        self.study = self.folder / "study"
        self.temporary = self.folder / "tmp"
        self.uri = f"sqlite:///{self.folder / 'mlflow.db'}"
        self._config = self.folder / "digits.yaml"
        config: dict[str, Any] = yaml.safe_load(EXPERIMENT.read_text(encoding="utf-8"))
        config |= {
            "search": {"trials": trials, "sampler": sampler, "seed": seed},
            "tracking": {"uri": self.uri},
            "output": str(self.study),
        }
        self._config.write_text(yaml.safe_dump(config), encoding="utf-8")

    def search(self) -> Command:
        return self._start("search", str(self._config))

    def pick(self) -> Command:
        return self._start("pick", str(self.study), "--knee")

    def sync(self) -> Command:
        return self._start("sync", str(self.study))

    def _start(self, *arguments: str) -> Command:
        return Command(arguments, self.study, self.folder / "said.txt", self.temporary)


class Torment:
    """Kills the commands of one place.

    Args:
        typical: seconds that each phase takes.
        kills: in this place, the last of them while picking.
    """

    def __init__(
        self,
        place: Place,
        typical: Mapping[Phase, float],
        toll: Toll,
        kills: int,
        draw: random.Random,
    ) -> None:
        self._place = place
        self._typical = typical
        self._toll = toll
        self._most = toll.kills + kills
        self._draw = draw
        self._lines: list[bytes] = []
        self._furthest = 0

    def run(self) -> None:
        """Search and pick to their ends, with as many kills as come on the way.

        Raises:
            Broken: something is not as it must be.
        """
        while not self._ends(self._place.search(), _SEARCHING, self._most - _PICKS):
            pass
        while not self._ends(self._place.pick(), [Phase.PICK], self._most):
            pass
        self._check_pick()

    def _ends(self, command: Command, phases: Sequence[Phase], most: int) -> bool:
        """Kill the command some time, or its children; whether it came to its end."""
        victims = _VICTIMS
        while self._toll.kills < most:
            phase = self._aim([one for one in phases if one.place >= command.phase().place])
            if not command.wait_for(phase, self._draw.uniform(0, self._typical[phase])):
                break
            with suppress(ProcessLookupError):
                fell = command.phase()
                victim = command.kill(self._draw.choice(victims), self._draw)
                self._toll.phases[fell] += 1
                self._furthest = max(self._furthest, fell.place)
                self._toll.victims[victim] += 1
                self._lines = check_journal(self._place.study, self._lines)
                if victim != "child":
                    self._check_remains(command)
                    return False
                # Twice in a row is taken for the fault of what is measured.
                victims = ("driver", "both")
        code = command.process.wait()
        self._check_remains(command)
        if code == 0:
            self._check_tidy()
            return True
        refused = code in _REFUSED and victims is not _VICTIMS and "Traceback" not in command.output
        if not refused:
            raise Broken(f"exit code {code}:\n{command.output}")
        self._toll.refusals += 1
        return False

    def _aim(self, phases: Sequence[Phase]) -> Phase:
        """Those that were hit least are the likeliest, and those that come next."""
        left = [one for one in phases if one in _ALWAYS or one.place >= self._furthest] or phases
        weights = [
            0.5 ** max(0, one.place - self._furthest) / (1 + self._toll.phases[one]) ** 2
            for one in left
        ]
        return self._draw.choices(left, weights)[0]

    def _check_remains(self, command: Command) -> None:
        self._toll.left_over_s = max(self._toll.left_over_s, command.left_over())
        study = self._place.study
        self._lines = check_journal(study, self._lines)
        self._toll.files += check_files(study)
        with suppress(sqlite3.OperationalError):
            check_database(self._place.folder / "mlflow.db")
        left = [*passing(study), *self._place.temporary.iterdir()]
        if len(left) > _MOST_LEFT:
            raise Broken(f"files pile up: {list(map(str, left))}")

    def _check_tidy(self) -> None:
        left = [*passing(self._place.study), *self._place.temporary.iterdir()]
        if left:
            raise Broken(f"left at the end: {list(map(str, left))}")

    def _check_pick(self) -> None:
        (folder,) = (self._place.study / "picks").glob("trial-*")
        number = int(folder.name.removeprefix("trial-"))
        trial = StudyStore.open(self._place.study).trials()[number]
        sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
        if sha256 != trial.artifact_sha256:
            raise Broken(f"the picked file is not that of trial {number}")

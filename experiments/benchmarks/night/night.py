"""From the evening to the end of the search, with all that happens on the way."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import yaml

from experiments.benchmarks.kills.command import Command
from experiments.benchmarks.kills.whole import Broken
from experiments.benchmarks.night.murder import kill_at_work
from experiments.benchmarks.night.servers import Servers
from experiments.benchmarks.night.story import Story
from paretune.search.cluster.cores import running_on

_POLL_S = 0.1
_WAIT_S = 60.0


class Night:
    """One search, whose workers and MLflow server die and are replaced.

    Args:
        config: of the search, to which the tracking is added.
        folder: for everything that is written.
        cwd: where the commands run.
        search_cores: that the search may use, its device included.
        say: is told what happens.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        folder: Path,
        servers: Servers,
        *,
        trials: int,
        cwd: Path,
        search_cores: tuple[int, ...],
        say: Callable[[str], None],
    ) -> None:
        self.study = folder / "study"
        self.trials = trials
        self.servers = servers
        self._folder = folder
        self._cwd = cwd
        self._search_cores = search_cores
        self._say = say
        self._config = folder / "night.yaml"
        tracking = {"uri": servers.mlflow.uri, "experiment": "night"}
        self._config.write_text(yaml.safe_dump({**config, "tracking": tracking}), encoding="utf-8")
        self._url = servers.postgresql.fresh()
        self._begun = self._dead_since = 0.0
        self._story = Story()
        self._commands: dict[str, Command] = {}

    def run(self) -> Story:
        """Live through it.

        Raises:
            Broken: something did not end as it should.
        """
        timeline: list[tuple[int, str, Callable[[], None]]] = [
            (self.trials // 5, "a worker is killed", self._kill_worker),
            (self.trials // 4, "MLflow is killed", self._kill_mlflow),
            (self.trials // 2, "another worker joins", lambda: self._join("third")),
            (self.trials * 2 // 3, "MLflow is started again", self._start_mlflow),
        ]
        self._join("first")
        self._join("second")
        self.servers.mlflow.start()
        self._begun = time.monotonic()
        search = self._search()
        for count, what, happens in timeline:
            self._wait(partial(self._has, count), search)
            self._tell(what)
            happens()
        code = search.process.wait()
        self._story.seconds = time.monotonic() - self._begun
        self._tell("the search has ended")
        if code != 0:
            raise Broken(f"the search ended with {code}:\n{search.output}")
        self._story.printed = search.output
        self._story.complete = "has not all of this search" not in said(search)
        self._end_workers()
        return self._story

    def command(self, *arguments: str) -> Command:
        """Start another command."""
        return self._start(f"{len(self._commands)}-{arguments[0]}", *arguments)

    def left_over(self) -> float:
        """Wait until no process of any command is left; returns how long that took."""
        return max(command.left_over() for command in self._commands.values())

    def temporary_files(self) -> list[Path]:
        """What is left of those that the commands made, the killed worker excepted."""
        folders = [self._temporary(name) for name in self._commands if name != "first"]
        return [path for folder in folders for path in folder.iterdir()]

    def close(self) -> None:
        """Kill what is left."""
        for command in self._commands.values():
            for process in command.family():
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            command.process.wait()

    def _search(self) -> Command:
        with running_on(self._search_cores):
            return self._start(
                *("search", "search", str(self._config), "--trials", str(self.trials)),
                *("--cluster", self.servers.address, "--storage", self._url),
                *("--output", str(self.study)),
            )

    def _join(self, name: str) -> None:
        self._start(name, "worker", self.servers.address, "--processes", "1", "--name", name)

    def _kill_worker(self) -> None:
        self._story.lost_jobs = kill_at_work(self._commands["first"], "first-0", self.servers)
        self._tell(f"it was at {self._story.lost_jobs} jobs")

    def _kill_mlflow(self) -> None:
        self.servers.mlflow.kill()
        self._dead_since = time.monotonic()

    def _start_mlflow(self) -> None:
        search = self._commands["search"]
        self._wait(lambda: "goes on without it" in said(search), search)
        self._tell("the search says that it goes on without MLflow")
        self.servers.mlflow.start()
        self._story.mlflow_away_s = time.monotonic() - self._dead_since
        self._tell("MLflow answers again")

    def _end_workers(self) -> None:
        """One as with Ctrl-C, the other one's scheduler goes."""
        second, third = self._commands["second"], self._commands["third"]
        second.process.send_signal(signal.SIGTERM)
        self._require(second, "the workers have left")
        self.servers.scheduler.end()
        self._require(third, "the scheduler at")

    def _require(self, worker: Command, words: str) -> None:
        code = worker.process.wait(_WAIT_S)
        if code != 0 or "end with Ctrl-C" not in worker.output or words not in worker.output:
            raise Broken(f"a worker ended with {code}:\n{worker.output}")

    def _start(self, name: str, *arguments: str) -> Command:
        command = Command(
            arguments, self.study, self._folder / f"{name}.txt", self._temporary(name), self._cwd
        )
        self._commands[name] = command
        return command

    def _temporary(self, name: str) -> Path:
        return self._folder / "tmp" / name

    def _has(self, count: int) -> bool:
        return self._count() >= count

    def _count(self) -> int:
        """How many trials the study has."""
        database = self._url.rpartition("/")[2]
        try:
            ((count,),) = self.servers.postgresql.execute("SELECT count(*) FROM trials", database)
        except psycopg.errors.UndefinedTable:
            return 0
        assert isinstance(count, int)
        return count

    def _wait(self, reached: Callable[[], bool], command: Command) -> None:
        while not reached():
            if not command.running:
                if reached():
                    return
                raise Broken(f"it ended too soon:\n{command.output}")
            time.sleep(_POLL_S)

    def _tell(self, what: str) -> None:
        self._say(f"{time.monotonic() - self._begun:6.1f} s, {self._count():3d} trials: {what}")


def said(command: Command) -> str:
    """What it printed, without line breaks."""
    return " ".join(command.output.split())

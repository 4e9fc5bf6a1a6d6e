"""A search on two devices, each in a network of its own, one of which dies and comes back."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from paretune.search.api import run_search
from paretune.search.config import load_config
from paretune.search.listener import Phase, Snapshot
from paretune.search.trial import Trial
from tests.evaluators.devices.network import Network
from tests.evaluators.devices.running import MAIN, TOKEN, AgentProcess
from tests.search import tiny
from tests.search.driving import Recorder

project = tiny.project

TRIALS = 6


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[dict[str, AgentProcess]]:
    with ExitStack() as stack:
        running = {}
        for name in ("a", "b"):
            network = Network()
            stack.callback(network.close)
            folder = tmp_path / name
            folder.mkdir()
            running[name] = AgentProcess(folder, command=network.inside(MAIN), host=network.address)
            stack.callback(running[name].close)
        yield running


class Accident(Recorder):
    """Kills an agent in the middle of a search; it comes back while the search waits for it."""

    def __init__(self, agent: AgentProcess) -> None:
        super().__init__()
        self.agent = agent
        self.restart = threading.Timer(1.0, agent.start)

    def on_trial(self, trial: Trial, snapshot: Snapshot) -> None:
        super().on_trial(trial, snapshot)
        if snapshot.phase is Phase.SEARCH and trial.number == TRIALS // 2:
            self.agent.kill()
            self.restart.start()


def test_a_device_that_dies_and_comes_back_costs_no_trial(
    project: Path, agents: dict[str, AgentProcess]
) -> None:
    config = tiny.config(
        objectives=["accuracy", "latency_ms@a", "latency_ms@b"],
        search={"trials": TRIALS, "sampler": "nsga2"},
        devices={name: agent.options for name, agent in agents.items()},
        evaluators=[{"type": "latency", "max_seconds": 0.02}],
    )
    path = project / "tiny.yaml"
    path.write_text(yaml.safe_dump(config))
    accident = Accident(agents["b"])
    before = agents["b"].process.pid
    study = run_search(load_config(path), listeners=[accident])
    accident.restart.join()
    assert agents["b"].process.pid != before
    assert len(study.trials) == TRIALS
    assert set(study.trials["status"]) == {"complete"}
    for name in ("latency_ms@a", "latency_ms@b"):
        assert (study.trials[name] > 0).all()
        assert (study.front[name] > 0).all()
    assert TOKEN not in "".join(
        file.read_text(errors="replace") for file in study.folder.rglob("*") if file.is_file()
    )

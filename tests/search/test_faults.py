"""What candidates and evaluators do to the process that measures them costs their own trials."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import paretune
from paretune.errors import UserError
from paretune.evaluators import Artifact
from paretune.search.api import run_search
from paretune.search.config import Config
from paretune.search.store import StudyStore
from paretune.search.trial import Trial, TrialStatus
from paretune.search.workbench import Workbench
from paretune.spaces import Policy
from tests.evaluators.isolation.broken_models import break_model
from tests.evaluators.isolation.faulty import install
from tests.search.tiny import config, project

__all__ = ["project"]

COMPLETE, INFEASIBLE, FAILED = TrialStatus.COMPLETE, TrialStatus.INFEASIBLE, TrialStatus.FAILED


def search(project: Path, trials: int, **changes: Any) -> list[Trial]:
    """Search, or go on; the trials of the study."""
    given = config(name="tiny", search={"trials": trials, "sampler": "random"}, **changes)
    run_search(Config.of(given, project, "faults"))
    return StudyStore.open(project / "runs" / "tiny").trials()


def assert_faults(trials: list[Trial], expected: Mapping[int, tuple[TrialStatus, str]]) -> None:
    """Only these trials ended like this, all others are complete."""
    assert {trial.number for trial in trials if trial.status is not COMPLETE} == set(expected)
    for number, (status, reason) in expected.items():
        found = trials[number]
        assert (found.status, reason in found.reason) == (status, True), found.reason
        assert not trials[number].measurements


def test_evaluators_with_faults(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(project, monkeypatch)
    faults = ["killed", "segfault", "spin", "raise", "nan", "exit", "print"]
    changes: dict[str, Any] = {
        "objectives": ["faulty", "size_bytes"],
        "evaluators": [{"type": "faulty", "faults": faults}],
        "limits": {"seconds": 1},
    }
    trials = search(project, 16, **changes)
    expected = {
        1: (FAILED, "transient: the evaluating process (measuring faulty) was killed by SIGKILL"),
        3: (FAILED, "the evaluating process (measuring faulty) was killed by SIGSEGV"),
        5: (FAILED, "the evaluating process (measuring faulty) took longer than "),
        7: (FAILED, "ZeroDivisionError: division by zero (faulty_evaluator.py, line "),
        9: (FAILED, "ValueError: a measurement must be finite, but got nan"),
        11: (FAILED, "the evaluating process (measuring faulty) ended with exit code 3"),
    }
    assert_faults(trials, expected)
    assert [trial.number for trial in trials if trial.transient] == [1]
    output = project / "runs" / "tiny"
    assert "hello from an evaluator" in (output / "evaluators.log").read_text()
    assert not list(output.glob("*.spool"))
    # Another night: after an even number of others it is measured without a fault.
    (project / "faults.json").write_text(json.dumps({"one": "fine", "other": "fine"}))
    again = search(project, 16, **changes)
    assert again[:16] == trials
    assert [trial.policy for trial in again[16:]] == [trials[1].policy]
    assert again[16].status is COMPLETE
    assert search(project, 16, **changes) == again


def sabotage(monkeypatch: pytest.MonkeyPatch, faults: Mapping[int, str]) -> None:
    """Break some of the models, in the order in which they are built."""
    order: list[Policy] = []
    apply = Workbench.apply

    def sabotaged(bench: Workbench, policy: Policy, path: Path) -> Artifact:
        artifact = apply(bench, policy, path)
        if policy not in order:
            order.append(policy)
        if (how := faults.get(order.index(policy))) is None:
            return artifact
        break_model(path, how)
        return Artifact(path, policy, hashlib.sha256(path.read_bytes()).hexdigest())

    monkeypatch.setattr(Workbench, "apply", sabotaged)


def test_candidates_with_faults(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = {
        1: "nan",
        2: "one sample",
        3: "more classes",
        5: "huge",
        7: "endless",
        9: "crash",
        11: "no model",
    }
    sabotage(monkeypatch, faults)
    trials = search(project, 14, limits={"seconds": 2, "memory": "2GiB"})
    expected = {
        1: (INFEASIBLE, "output 'logits' holds NaN for 48 of 48 samples"),
        2: (INFEASIBLE, "output 'logits' has shape (1, 4), but the fp32 model's has (16, 4)"),
        3: (INFEASIBLE, "output 'logits' has shape (16, 8), but the fp32 model's has (16, 4)"),
        5: (FAILED, "it needs more memory than the limit of 2,048 MiB"),
        7: (FAILED, "the evaluating process (measuring accuracy) took longer than "),
        9: (FAILED, "the evaluating process (measuring accuracy) was killed by SIGFPE"),
        11: (FAILED, "cannot load"),
    }
    assert_faults(trials, expected)
    assert not any(trial.transient for trial in trials)
    assert any(trial.confirmed for trial in trials)
    assert [trial.test for trial in trials if trial.confirmed]
    # The study goes on, and what is known to fail is not tried again.
    more = search(project, 16, limits={"seconds": 2, "memory": "2GiB"})
    assert more[:14] == trials[:14]
    assert_faults(more, expected)
    assert len({trial.policy for trial in more}) == 16


def test_a_metric_of_the_users_own(project: Path) -> None:
    shift = 0.5

    def shifted(outputs: Any, targets: Any) -> Any:
        hits = outputs["logits"].argmax(axis=1) == targets
        return hits + shift

    functions = {
        "shifted": {"function": shifted, "direction": "maximize"},
        "ones": {"function": lambda o, t: np.ones(len(t)), "direction": "minimize"},
    }
    given: dict[str, Any] = {
        "model": "tiny.onnx",
        "data": "tiny_data:data",
        "objectives": ["shifted", "size_bytes"],
        "metrics": ["accuracy", "ones"],
        "space": {"precision": ["int8"], "sparsity": []},
        "evaluators": [{"type": "accuracy", "functions": functions}],
        "progress": False,
    }
    paretune.tune(**given, trials=3)
    study = paretune.tune(**given, trials=4)
    trials = study.trials
    assert len(trials) == 4
    assert list(trials["shifted"]) == pytest.approx(list(trials["accuracy"] + shift))
    assert set(trials["ones"]) == {1.0}
    assert "test_faults:test_a_metric" in (study.folder / "config.yaml").read_text()
    assert study.pick(trial=1).model.is_file()
    with pytest.raises(UserError, match="functions.shifted: 'tests.*' is not of the form"):
        paretune.open_study(study.folder).pick(trial=1)
    again = paretune.open_study(study.folder, evaluators=given["evaluators"])
    assert again.pick(trial=1).model.is_file()


OWN = """
import ctypes
import os
import numpy as np

def metric(outputs, targets):
    if outputs["logits"].mean() < 500:
        return outputs["logits"].max(axis=1)
    fault = os.environ["FAULT"]
    if fault == "shape":
        return np.ones((len(targets), 2))
    if fault == "nan":
        return np.full(len(targets), np.nan)
    ctypes.string_at(0)
"""


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("shape", "metric 'own': own:metric must return numbers of shape (16,), one score per"),
        ("nan", "metric 'own': own:metric returned NaN or infinite scores for 16 of 16 samples"),
        ("crash", "the evaluating process (measuring accuracy) was killed by SIGSEGV"),
    ],
)
def test_a_metric_of_the_users_own_with_faults(
    project: Path, monkeypatch: pytest.MonkeyPatch, fault: str, reason: str
) -> None:
    (project / "own.py").write_text(OWN)
    monkeypatch.setenv("FAULT", fault)
    sabotage(monkeypatch, {2: "thousand"})
    functions = {"own": {"function": "own:metric", "direction": "maximize"}}
    trials = search(
        project,
        4,
        objectives=["own", "size_bytes"],
        evaluators=[{"type": "accuracy", "functions": functions}],
    )
    assert_faults(trials, {2: (FAILED, reason)})


def test_a_model_that_cannot_be_measured_starts_no_study(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(project, monkeypatch)
    (project / "faults.json").write_text(json.dumps({"first": "fine"}))
    with pytest.raises(UserError, match=r"model cannot be measured: .* was killed by SIGSEGV"):
        search(
            project,
            4,
            objectives=["faulty", "size_bytes"],
            evaluators=[{"type": "faulty", "faults": ["segfault"]}],
        )
    assert not (project / "runs" / "tiny" / "study.journal").exists()


SCRIPT = """
import numpy as np
import paretune
from tiny_data import data

WEIGHT = 2.0

class Scorer:
    def __call__(self, outputs, targets):
        return WEIGHT * (outputs["logits"].argmax(axis=1) == targets)

def own_data():
    return data()

def search():
    functions = {
        "own": {"function": Scorer(), "direction": "maximize"},
        "least": {"function": lambda o, t: o["logits"].min(axis=1), "direction": "maximize"},
    }
    study = paretune.tune(
        model="tiny.onnx",
        data=own_data,
        objectives=["own", "size_bytes"],
        metrics=["least", "accuracy"],
        space={"precision": ["int8"], "sparsity": []},
        evaluators=[{"type": "accuracy", "functions": functions}],
        trials=3,
        progress=False,
    )
    trials = study.trials
    assert np.allclose(trials["own"], WEIGHT * trials["accuracy"])
    print("searched", len(trials))

search()
"""


def test_a_script_needs_no_guard(project: Path) -> None:
    (project / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["searched 3"]

"""A workplace: its patience with what disturbs, and what it keeps between jobs."""

from pathlib import Path

import numpy as np
import pytest

from paretune.evaluators.arrays import save_arrays
from paretune.evaluators.measuring.job import INPUTS, MODEL, REFERENCE, Job, Limits, Setup
from paretune.evaluators.measuring.kinds import latency
from paretune.evaluators.measuring.samples import Samples
from paretune.evaluators.measuring.sampling import sample
from paretune.evaluators.measuring.workplace import Workplace
from tests import models
from tests.evaluators.measuring.machine import Machine


def test_patience_halves_after_every_disturbed_measurement_but_never_ends() -> None:
    workplace = Workplace(Setup())
    whole = workplace.patience
    workplace.learn(disturbed=True)
    workplace.learn(disturbed=True)
    assert workplace.patience == whole / 4
    for _ in range(20):
        workplace.learn(disturbed=True)
    assert 0 < workplace.patience < whole / 20


def test_patience_is_whole_again_after_a_calm_measurement() -> None:
    workplace = Workplace(Setup())
    whole = workplace.patience
    for _ in range(3):
        workplace.learn(disturbed=True)
    workplace.learn(disturbed=False)
    assert workplace.patience == whole


def test_measuring_latency_has_the_patience_that_the_measurements_before_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        REFERENCE: str(models.mlp(tmp_path / "reference.onnx")),
        MODEL: str(models.mlp(tmp_path / "candidate.onnx")),
        INPUTS: str(tmp_path / "inputs.npz"),
    }
    save_arrays(tmp_path / "inputs.npz", {"x": np.ones((3, 8), np.float32)})
    job = Job("latency", Setup(), files, {}, Limits(60))
    workplace = Workplace(job.setup)
    patiences = []

    disturbed = iter([True, True, False, False])

    def on_a_machine(*_: object, patience: float, **__: object) -> Samples:
        patiences.append(patience)
        machine, stays = Machine(), next(disturbed)
        machine.disturbed = lambda _: stays
        runs = machine.model("r", 2e-3), machine.model("c", 1e-3)
        return sample(*runs, target=0.01, watch=machine, clock=machine.clock)

    monkeypatch.setattr(latency, "sample", on_a_machine)
    flags = [latency.measure(job, workplace, lambda _: None).flags for _ in range(4)]
    assert ["disturbed" in found for found in flags] == [True, True, False, False]
    whole = patiences[0]
    assert patiences == [whole, whole / 2, whole / 4, whole]


def test_files_written_anew_under_the_same_name_are_loaded_anew(tmp_path: Path) -> None:
    reference, inputs = tmp_path / "model.onnx", tmp_path / "inputs.npz"
    files = {INPUTS: str(inputs), REFERENCE: str(reference), MODEL: str(reference)}
    job = Job("latency", Setup(), files, {}, Limits(60.0))
    workplace = Workplace(Setup())
    for features in (8, 12):
        models.mlp(reference, features=features)
        save_arrays(inputs, {"x": np.ones((1, features), np.float32)})
        feeds = workplace.feeds(job)
        assert feeds["x"].shape == (1, features)
        assert workplace.feeds(job) is feeds
        loaded = workplace.reference(job)
        loaded.run(feeds)
        assert workplace.reference(job) is loaded

"""Energy of a run, by meters that are real files."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pytest

from paretune.errors import InferenceError, TransientError, UserError
from paretune.evaluators.arrays import save_arrays
from paretune.evaluators.data import Array
from paretune.evaluators.devices.local import LocalDevice
from paretune.evaluators.measuring.job import INPUTS, MODEL, Job, Limits, Setup
from paretune.evaluators.measuring.kinds.energy import measure
from paretune.evaluators.measuring.meters import hwmon
from paretune.evaluators.measuring.result import Result
from paretune.evaluators.measuring.workplace import Workplace
from tests import models
from tests.evaluators.measuring.sysfs import chip, powered, zone

SPAN = 262_143_328_850


class Costly:
    """A model of which every run takes so many microjoules from a meter."""

    def __init__(self, meter: Path, microjoules: Callable[[int], int]) -> None:
        self.meter = meter
        self.microjoules = microjoules
        self.runs = 0

    def run(self, _feeds: Mapping[str, Array]) -> dict[str, Array]:
        used = int(self.meter.read_text()) + self.microjoules(self.runs)
        self.meter.write_text(str(used % SPAN))
        self.runs += 1
        return {}

    def bind(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        return lambda: self.run(feeds)


class Place(Workplace):
    """Where that model is."""

    def __init__(self, model: Costly) -> None:
        super().__init__(Setup())
        self.model = model

    def feeds(self, job: Job) -> dict[str, Array]:
        return {}

    def candidate(self, job: Job) -> Costly:
        return self.model


def job(root: Path, files: Mapping[str, str] | None = None, **options: Any) -> Job:
    given = {"root": str(root), "seconds": 0.01, **options}
    return Job("energy", Setup(), files or {}, given, Limits(60))


def notes(_: str) -> None:
    """Nobody listens."""


def test_energy_is_counted_per_run(tmp_path: Path) -> None:
    meter = zone(tmp_path, "intel-rapl:0", "package-0", SPAN - 100_000)
    model = Costly(meter, lambda _: 5_000)
    result = measure(job(tmp_path), Place(model), notes)
    energy = result.figures["energy"]
    assert energy.value == pytest.approx(5e-3)
    assert energy.low == pytest.approx(5e-3)
    assert energy.high == pytest.approx(5e-3)
    assert result.samples["joules"] == pytest.approx([5e-3] * 6)
    assert result.samples["idle_watts"] == 0
    assert result.samples["watts"] > 0
    assert result.conditions["meter"] == "powercap package-0"
    # Segments as long as twenty updates of the counter need, plus the runs before.
    assert model.runs >= 6 * result.samples["runs_per_segment"] + 2


def test_the_median_withstands_a_neighbour_and_the_interval_tells(tmp_path: Path) -> None:
    meter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    model = Costly(meter, lambda _: 1_000)

    def neighbour(text: str) -> None:
        if text == "measuring energy":
            first = model.runs
            model.microjoules = lambda run: 50_000_000 if run == first else 1_000

    energy = measure(job(tmp_path), Place(model), neighbour).figures["energy"]
    assert energy.value == pytest.approx(1e-3)
    assert energy.low == pytest.approx(1e-3)
    assert energy.high > 2e-3


def test_a_meter_that_stands_still_is_refused(tmp_path: Path) -> None:
    meter = zone(tmp_path, "intel-rapl:0", "package-0", 77)
    with pytest.raises(UserError, match="'powercap package-0' stood still while a model ran"):
        measure(job(tmp_path), Place(Costly(meter, lambda _: 0)), notes)


def test_a_meter_that_breaks_off_is_transient(tmp_path: Path) -> None:
    meter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    model = Costly(meter, lambda _: 5)
    place = Place(model)

    def note(text: str) -> None:
        if text == "measuring energy":
            model.meter = meter.rename(tmp_path / "unplugged")

    with pytest.raises(TransientError, match="broke off: .*energy_uj cannot be read: No such file"):
        measure(job(tmp_path), place, note)
    assert model.runs > 1


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    inputs = tmp_path / "inputs.npz"
    save_arrays(inputs, {"x": np.ones((1, 8), np.float32)})
    return {MODEL: str(models.mlp(tmp_path / "model.onnx")), INPUTS: str(inputs)}


def on_this_host(wanted: Job) -> Result:
    with closing(LocalDevice()) as device:
        return device.run(wanted)


def test_a_counter_that_runs_while_a_real_model_does(tmp_path: Path, files: dict[str, str]) -> None:
    meter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    start = monotonic()
    with powered(meter, 20):
        result = on_this_host(job(tmp_path, files, seconds=0.3))
    energy, samples = result.figures["energy"], result.samples
    assert 0 < energy.low <= energy.value <= energy.high
    whole = sum(samples["joules"]) * samples["runs_per_segment"]
    assert whole < 20 * (monotonic() - start)
    assert samples["idle_watts"] > 0


def test_a_steady_power_sensor_gives_watts_times_seconds(
    tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hwmon, "_SAMPLE_SECONDS", 2e-3)
    chip(tmp_path, 0, "ina226", in1_input=5_000, curr1_input=1_600)
    result = measure(job(tmp_path, files, seconds=0.6), Workplace(Setup()), notes)
    assert result.conditions["meter"] == "hwmon ina226/in1"
    # The energy and the time are taken one after the other, and a busy machine may sleep between.
    assert result.samples["watts"] == pytest.approx(8, rel=0.5)
    assert result.samples["idle_watts"] == pytest.approx(8, rel=0.5)


def test_no_meter_on_the_device(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"no energy meter found \(powercap: .*; hwmon: .*\)"):
        on_this_host(job(tmp_path, files))


def test_a_refused_model(tmp_path: Path, files: dict[str, str]) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    Path(files[MODEL]).write_text("no model")
    with pytest.raises(InferenceError, match="model.onnx"):
        on_this_host(job(tmp_path, files))


def test_it_stays_small() -> None:
    module = "paretune.evaluators.measuring.kinds.energy"
    code = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"torch", "mlflow", "pydantic", "pandas", "onnx", "onnxruntime", "pynvml"}

"""The evaluator `energy`."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from paretune.errors import TransientError, UserError
from paretune.evaluators import Artifact, EvaluationContext
from paretune.evaluators.devices.local import LocalDevice
from paretune.evaluators.energy import EnergyOptions, EnergyPlugin
from paretune.evaluators.evaluator import DeviceContext
from paretune.evaluators.measuring.job import Setup
from paretune.plugins import load_plugin
from tests.evaluators.measuring.sysfs import powered, zone


@pytest.fixture
def context(context: EvaluationContext) -> Iterator[EvaluationContext]:
    with closing(LocalDevice()) as device:
        yield replace(context, device=DeviceContext("board", device, Setup()))


def test_it_is_installed() -> None:
    assert load_plugin("paretune.evaluators", "energy") is EnergyPlugin
    assert EnergyPlugin.per_device


def test_millijoules_with_interval_and_conditions(
    context: EvaluationContext, candidate: Artifact, tmp_path: Path
) -> None:
    meter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    options = EnergyOptions(root=str(tmp_path), seconds=0.3, batch=2)
    with powered(meter, 20), closing(EnergyPlugin.create(options, context)) as evaluator:
        measured = evaluator.measure(candidate, EnergyPlugin.metrics(options), "search")
    energy = measured["energy_mj"]
    assert energy.low is not None
    assert energy.high is not None
    assert 0 < energy.low <= energy.value <= energy.high
    middle = sorted(energy.samples["joules"])[2:4]
    assert energy.value == pytest.approx(1e3 * sum(middle) / 2)
    assert energy.conditions["meter"] == "powercap package-0"
    assert energy.conditions["batch"] == 2
    json.dumps(energy.to_dict())


def test_a_device_without_a_meter_is_found_out_at_the_start(
    context: EvaluationContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    with pytest.raises(UserError) as caught:
        EnergyPlugin.create(EnergyOptions(root=str(tmp_path)), context)
    text = str(caught.value)
    assert text.startswith("evaluator 'energy': device 'board': no energy meter found (powercap: ")
    for place in ("class/powercap", "class/hwmon"):
        assert str(tmp_path / place) in text
    assert list(folder.iterdir()) == []


def test_a_meter_of_another_name_is_not_taken(context: EvaluationContext, tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    with pytest.raises(UserError, match=r"no energy meter found \(hwmon: no energy\*_input"):
        EnergyPlugin.create(EnergyOptions(root=str(tmp_path), meter="hwmon"), context)
    with pytest.raises(UserError, match="no sensor 'package-1'; nearest is 'package-0'"):
        EnergyPlugin.create(EnergyOptions(root=str(tmp_path), sensors=("package-1",)), context)
    with pytest.raises(ValidationError, match="'auto', 'powercap', 'hwmon' or 'nvml'"):
        EnergyOptions.model_validate({"meter": "guess"})


def test_a_meter_that_is_gone_later_is_transient(
    context: EvaluationContext, candidate: Artifact, tmp_path: Path
) -> None:
    meter = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    options = EnergyOptions(root=str(tmp_path), seconds=0.1)
    with powered(meter, 20):
        evaluator = EnergyPlugin.create(options, context)
    shutil.rmtree(tmp_path / "class")
    with closing(evaluator), pytest.raises(TransientError, match="no energy meter found"):
        evaluator.measure(candidate, EnergyPlugin.metrics(options), "search")

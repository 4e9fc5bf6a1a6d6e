"""Someone else's package adds an evaluator without touching this repository."""

import os
import subprocess
import sys
from pathlib import Path

from tests import models

MODULE = """
from pydantic import Field
from paretune.evaluators import EvaluatorOptions, Measurement, Metric


class Options(EvaluatorOptions):
    kelvin: float = Field(default=0, ge=0)


class Thermometer:
    def __init__(self, kelvin):
        self.kelvin = kelvin

    def measure(self, artifact, metrics, split):
        value = self.kelvin + artifact.path.stat().st_size
        return {metric.name: Measurement(value) for metric in metrics}

    def close(self):
        print("closed")


class ThermometerPlugin:
    Options = Options

    @staticmethod
    def metrics(options):
        return (Metric("heat_k", "K", "minimize", "How hot it gets"),)

    @staticmethod
    def create(options, context):
        return Thermometer(options.kelvin)
"""

SCRIPT = """
import sys
from pathlib import Path
from paretune.errors import UserError
from paretune.evaluators import Artifact, EvaluationContext, EvaluatorSuite, Splits
from paretune.spaces import Policy

artifact = Artifact(Path(sys.argv[1]), Policy.of({}), "")
listed = [{"type": "thermometer", "options": {"kelvin": 300}}]
print(EvaluatorSuite.declare(listed)["heat_k"].unit)
context = EvaluationContext(artifact, Splits([], [], []))
with EvaluatorSuite.create(listed, ["heat_k", "size_bytes"], context) as evaluators:
    measured, seconds = evaluators.measure(artifact, "search")
    print(measured["heat_k"].value - measured["size_bytes"].value, sorted(seconds))
try:
    EvaluatorSuite.declare([{"type": "thermometer", "options": {"kelvin": -1}}])
except UserError as error:
    print(error)
"""


def test_a_package_with_an_entry_point_is_enough(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "acme_thermometer-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_thermometer.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-thermometer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[paretune.evaluators]\nthermometer = acme_thermometer:ThermometerPlugin\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(models.mlp(tmp_path / "mlp.onnx"))],
        env={**os.environ, "PYTHONPATH": str(site)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines() == [
        "K",
        "300.0 ['size', 'thermometer']",
        "closed",
        "evaluator 'thermometer': kelvin: must be greater than or equal to 0, but got -1",
    ]

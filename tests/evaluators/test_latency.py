"""The latency plugin: what it asks a device, and what it makes of the answers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretune.errors import (
    CandidateError,
    UserError,
)
from paretune.evaluators import Artifact, Batch, EvaluationContext, Measurement, Splits, from_arrays
from paretune.evaluators.evaluator import DeviceContext
from paretune.evaluators.latency.evaluator import LatencyEvaluator
from paretune.evaluators.latency.plugin import LatencyOptions, LatencyPlugin
from paretune.evaluators.measuring.job import (
    INPUTS,
    MODEL,
    REFERENCE,
    Setup,
)
from paretune.validation import parse_options
from tests import models
from tests.evaluators.conftest import artifact
from tests.evaluators.recorder import Recorder, on

QUICK = LatencyOptions(max_seconds=0.02)
METRICS = {metric.name: metric for metric in LatencyPlugin.metrics(QUICK)}


@contextmanager
def created(options: LatencyOptions, context: EvaluationContext) -> Iterator[LatencyEvaluator]:
    evaluator = LatencyPlugin.create(options, context)
    yield evaluator
    evaluator.close()


def measured(
    context: EvaluationContext, candidate: Artifact, options: LatencyOptions, *names: str
) -> dict[str, Measurement]:
    with created(options, context) as evaluator:
        return evaluator.measure(candidate, [METRICS[name] for name in names], "search")


def test_every_metric_on_this_host(context: EvaluationContext, candidate: Artifact) -> None:
    options = LatencyOptions(max_seconds=0.02, batch=2, throughput_batch=4)
    found = measured(context, candidate, options, *METRICS)
    assert list(found) == list(METRICS)
    for name, measurement in found.items():
        assert measurement.low is not None
        assert measurement.high is not None
        assert 0 < measurement.low <= measurement.value <= measurement.high
        assert measurement.conditions["threads"] == 1
        assert measurement.conditions["batch"] == (4 if name == "throughput" else 2)
        json.dumps(measurement.to_dict())
    with_samples = {name for name, measurement in found.items() if measurement.samples}
    assert with_samples == {"latency_ms", "throughput", "load_ms"}


def test_figures_become_the_metrics_units(context: EvaluationContext, candidate: Artifact) -> None:
    options = LatencyOptions(batch=4)
    found = measured(on(context, Recorder()), candidate, options, *METRICS)
    assert {name: (m.low, m.value, m.high) for name, m in found.items()} == {
        "latency_ms": (1, 2, 4),
        "latency_ratio": (0.4, 0.5, 0.6),
        "latency_p90_ms": (2, 3, 5),
        "latency_p99_ms": (5, 10, 20),
        "throughput": (1000, 2000, 4000),
        "load_ms": (1000, 2000, 3000),
        "first_run_ms": (250, 500, 1000),
    }
    assert {m.flags for m in found.values()} == {("disturbed",)}
    assert found["load_ms"].conditions == {"host": "elsewhere", "batch": 4}


@pytest.mark.parametrize(
    ("names", "options", "jobs"),
    [
        ("latency_ratio", {}, [("latency", 1)]),
        ("latency_p99_ms throughput latency_ms", {}, [("latency", 1)]),
        ("throughput", {"throughput_batch": 8}, [("latency", 8)]),
        (
            "first_run_ms throughput latency_ms load_ms",
            {"throughput_batch": 8, "batch": 2},
            [("latency", 2), ("latency", 8), ("load", 2)],
        ),
    ],
)
def test_one_job_for_all_metrics_of_the_same_samples(
    context: EvaluationContext,
    candidate: Artifact,
    names: str,
    options: dict[str, int],
    jobs: list[tuple[str, int]],
) -> None:
    recorder = Recorder()
    with created(LatencyOptions(**options), on(context, recorder)) as evaluator:
        recorder.jobs.clear()
        recorder.arrays.clear()
        wanted = [METRICS[name] for name in names.split()]
        assert list(evaluator.measure(candidate, wanted, "search")) == names.split()
    inputs = [len(arrays[INPUTS]["x"]) for arrays in recorder.arrays]
    assert [(job.kind, size) for job, size in zip(recorder.jobs, inputs, strict=True)] == jobs
    assert {job.files[MODEL] for job in recorder.jobs} == {str(candidate.path)}
    assert {job.files[REFERENCE] for job in recorder.jobs} == {str(context.reference.path)}


def test_options_and_limits_reach_the_job(context: EvaluationContext, candidate: Artifact) -> None:
    recorder = Recorder()
    setup = Setup(threads=2, cpus=(0, 1))
    measured(
        on(context, recorder, setup),
        candidate,
        LatencyOptions(target=0.05, max_seconds=3),
        "latency_ms",
    )
    job = recorder.jobs[-1]
    assert job.options == {"target": 0.05, "max_seconds": 3}
    assert job.setup == setup
    # The reference took 2.5 s to load and run.
    assert job.limits.seconds == 60 + 20 * 2.5 + 2 * 3


def test_several_inputs_of_other_types(tmp_path: Path, device: DeviceContext) -> None:
    reference = artifact(models.two_inputs(tmp_path / "two.onnx"))
    ids, mask = np.zeros((2, 6), np.int64), np.ones((2, 6), np.float32)
    batches = [Batch({"ids": ids, "mask": mask})]
    threads = replace(device, setup=Setup(threads=2))
    context = EvaluationContext(reference, Splits(batches, batches, batches), threads)
    found = measured(context, reference, QUICK, "latency_ms")
    assert found["latency_ms"].conditions["threads"] == 2


def test_a_candidate_that_does_not_run_leaves_the_next_alone(
    context: EvaluationContext, candidate: Artifact, tmp_path: Path
) -> None:
    broken = replace(candidate, path=tmp_path / "broken.onnx")
    broken.path.write_text("no model")
    hoarding = replace(candidate, path=models.hoarding(tmp_path / "hoarding.onnx"))
    limited = replace(context, memory_limit=1 << 29)
    ratio = [METRICS["latency_ratio"]]
    with created(QUICK, limited) as evaluator:
        for one, message in (
            (broken, "ONNX Runtime cannot load"),
            (hoarding, "it needs more memory than the limit of 512 MiB"),
        ):
            with pytest.raises(CandidateError, match=message):
                evaluator.measure(one, ratio, "search")
            assert evaluator.measure(candidate, ratio, "search")["latency_ratio"].value > 0


def test_a_model_with_another_fixed_batch_size(tmp_path: Path, device: DeviceContext) -> None:
    reference = artifact(models.mlp(tmp_path / "fixed.onnx", batch=4))
    batches = from_arrays({"x": np.ones((4, 8), np.float32)})
    context = EvaluationContext(reference, Splits(batches, batches, batches), device)
    for options, name in (({}, "batch"), ({"batch": 4, "throughput_batch": 1}, "throughput_batch")):
        with pytest.raises(
            UserError, match=f"'{name}' is 1, but the model's input 'x' .* takes only 4"
        ):
            LatencyPlugin.create(LatencyOptions(**options), context)
    LatencyPlugin.create(LatencyOptions(batch=4), context).close()


def test_a_start_that_fails_leaves_no_files(
    context: EvaluationContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise CandidateError("crashed")

    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setattr(Recorder, "run", fail)
    with pytest.raises(UserError, match="^evaluator 'latency': device 'pi': the model itself: cr"):
        LatencyPlugin.create(QUICK, on(context, Recorder()))
    assert list(folder.iterdir()) == []


def test_closing_leaves_no_files_and_the_device_alone(
    context: EvaluationContext, candidate: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    recorder = Recorder()
    with created(QUICK, on(context, recorder)) as evaluator:
        assert len(list(folder.iterdir())) == 1
        evaluator.measure(candidate, [METRICS["latency_ms"]], "search")
    assert list(folder.iterdir()) == []
    assert not recorder.closed


@pytest.mark.parametrize(
    ("name", "value"), [("threads", 2), ("cpus", [1]), ("runtime", "openvino")]
)
def test_what_belongs_to_the_device_is_told(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^evaluator 'latency': '{name}' is set for a device") as e:
        parse_options(LatencyOptions, {name: value, "batch": 2}, "evaluator 'latency'")
    assert f"`devices: {{host: {{{name}: {value}}}}}`" in str(e.value)

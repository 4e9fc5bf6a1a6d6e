"""The bench: what evaluators' jobs on a device have in common."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paretune.errors import CandidateError, ParetuneError, TransientError, UserError
from paretune.evaluators import Artifact, Batch, EvaluationContext, Splits, from_arrays
from paretune.evaluators.bench import Bench
from paretune.evaluators.evaluator import DeviceContext
from paretune.evaluators.measuring.job import (
    EXPECTED,
    INPUTS,
    MODEL,
    REFERENCE,
    REFERENCE_EXPECTED,
    Setup,
)
from paretune.evaluators.runtimes.expected import expected_outputs
from tests import models
from tests.evaluators.conftest import artifact
from tests.evaluators.recorder import Recorder, on


@pytest.mark.parametrize(
    "setup", [Setup(), Setup("openvino"), Setup(options={"optimization": "basic"})]
)
@pytest.mark.parametrize("elsewhere", [True, False])
def test_what_another_runtime_or_machine_computes_is_compared(
    context: EvaluationContext,
    candidate: Artifact,
    device: DeviceContext,
    setup: Setup,
    elsewhere: bool,
) -> None:
    recorder = Recorder("elsewhere" if elsewhere else device.device.machine)
    other = models.perturbed(context.reference.path, candidate.path.with_name("b.onnx"), seed=3)
    with closing(Bench(on(context, recorder, setup), "x")) as bench:
        bench.add_inputs(3)
        for path in (candidate.path, other):
            bench.run("latency", path, 3, {})
    compared = elsewhere or setup != Setup()
    for job, arrays in zip(recorder.jobs, recorder.arrays, strict=True):
        assert (EXPECTED in arrays, REFERENCE_EXPECTED in arrays) == (compared, compared)
        if compared:
            feeds = arrays[INPUTS]
            for role, file in ((EXPECTED, MODEL), (REFERENCE_EXPECTED, REFERENCE)):
                wanted = expected_outputs(Path(job.files[file]), feeds)
                np.testing.assert_array_equal(arrays[role]["logits"], wanted["logits"])


def test_inputs_are_the_first_samples_repeated(context: EvaluationContext) -> None:
    recorder = Recorder()
    few = from_arrays({"x": np.arange(24, dtype=np.float32).reshape(3, 8)})
    splits = Splits(few, few, few)
    with closing(Bench(replace(on(context, recorder), splits=splits), "x")) as bench:
        bench.add_inputs(5)
    np.testing.assert_array_equal(recorder.arrays[-1][INPUTS]["x"][:, 0], [0, 8, 16, 0, 8])


@pytest.mark.parametrize("elsewhere", [True, False])
def test_this_hosts_memory_limits_only_what_runs_on_it(
    context: EvaluationContext, device: DeviceContext, elsewhere: bool
) -> None:
    recorder = Recorder("elsewhere" if elsewhere else device.device.machine)
    limited = replace(on(context, recorder), memory_limit=1 << 30)
    with closing(Bench(limited, "x")) as bench:
        bench.add_inputs(1)
        bench.run("latency", context.reference.path, 1, {})
    limits = {job.limits.memory for job in recorder.jobs}
    assert limits == ({None} if elsewhere else {1 << 30})


def test_a_reference_that_does_not_run_is_the_users(tmp_path: Path, device: DeviceContext) -> None:
    reference = artifact(models.two_inputs(tmp_path / "two.onnx", vocabulary=20))
    batches = [Batch({"ids": np.full((2, 4), 99), "mask": np.ones((2, 4), np.float32)})]
    context = EvaluationContext(reference, Splits(batches, batches, batches), device)
    with (
        closing(Bench(context, "evaluator 'x'")) as bench,
        pytest.raises(
            UserError, match="^evaluator 'x': device 'host': the model itself: .*out of data bounds"
        ),
    ):
        bench.add_inputs(1)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("no such runtime"), UserError("device 'pi': no such runtime")),
        (UserError("device 'pi': no meter"), UserError("device 'pi': no meter")),
        (UserError("device 'pi' refuses"), UserError("device 'pi' refuses")),
        (TransientError("no disk left"), TransientError("device 'pi': no disk left")),
        (TransientError("device 'pi' is away"), TransientError("device 'pi' is away")),
        (CandidateError("crashed"), UserError("device 'pi': the model itself: crashed")),
        (
            CandidateError("device 'pi': crashed"),
            UserError("device 'pi': the model itself: crashed"),
        ),
    ],
)
def test_a_start_that_fails_blames_what_is_to_blame(
    context: EvaluationContext,
    monkeypatch: pytest.MonkeyPatch,
    error: ParetuneError,
    expected: ParetuneError,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Recorder, "run", fail)
    with (
        closing(Bench(on(context, Recorder()), "evaluator 'x'")) as bench,
        pytest.raises(type(expected)) as caught,
    ):
        bench.add_inputs(1)
    assert type(caught.value) is type(expected)
    assert str(caught.value) == f"evaluator 'x': {expected}"


@pytest.mark.parametrize("text", ["no meter", "device 'pi': no meter"])
def test_a_mistake_that_comes_up_later_ends_no_search(
    context: EvaluationContext, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    def fail(*_: object) -> None:
        raise UserError(text)

    with closing(Bench(on(context, Recorder()), "x")) as bench:
        bench.add_inputs(1)
        monkeypatch.setattr(Recorder, "run", fail)
        with pytest.raises(TransientError, match="^device 'pi': no meter$"):
            bench.run("energy", context.reference.path, 1, {})

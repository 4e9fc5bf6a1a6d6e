"""The worker process: what it loads, how it ends, and what happens when it dies."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.errors import TransientError, UserError
from paretune.evaluators import (
    Artifact,
    Batch,
    EvaluationContext,
    InferenceError,
    Splits,
    from_arrays,
)
from paretune.evaluators.latency.client import LatencyWorker
from paretune.evaluators.latency.plugin import LatencyOptions, LatencyPlugin, latency_inputs
from paretune.evaluators.latency.protocol import (
    Failed,
    Message,
    Ready,
    Request,
    Start,
    decode,
    encode,
)
from paretune.evaluators.latency.sampling import Pairs
from tests import models
from tests.evaluators.conftest import artifact

QUICK = LatencyOptions(max_seconds=0.02)
SECONDS = st.floats(1e-9, 1e3)
TIMES = st.lists(SECONDS, max_size=5).map(tuple)


@pytest.fixture
def start(reference: Artifact, tmp_path: Path) -> Start:
    inputs = tmp_path / "inputs.npz"
    np.savez(inputs, np.ones((1, 8), np.float32))
    return Start(str(reference.path), str(inputs), ("x",), 1, 0.01, 0.02)


@pytest.fixture
def worker(start: Start, tmp_path: Path) -> Iterator[LatencyWorker]:
    running = LatencyWorker(start, tmp_path / "worker.log")
    yield running
    running.close()


@given(
    st.one_of(
        st.builds(
            Start,
            st.text(),
            st.text(),
            st.lists(st.text()).map(tuple),
            st.integers(),
            SECONDS,
            SECONDS,
        ),
        st.builds(Request, st.text()),
        st.builds(Ready, st.text(), st.text()),
        st.builds(Pairs, TIMES, TIMES, st.integers()),
        st.builds(Failed, st.text()),
    )
)
def test_messages_round_trip_in_one_line(message: Message) -> None:
    line = encode(message)
    assert line.count("\n") == 1
    assert decode(line) == message


@pytest.mark.parametrize(
    "line", ["", "noise\n", "[1]\n", '{"kind": "Other"}\n', '{"kind": "Ready"}\n']
)
def test_other_lines_are_no_messages(line: str) -> None:
    with pytest.raises(ValueError, match="no message of the latency worker"):
        decode(line)


def test_the_worker_stays_small() -> None:
    code = (
        "import sys, json, paretune.evaluators.latency.worker;"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(json.loads(done.stdout))
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "mlflow", "pydantic", "pandas", "optuna", "onnx", "matplotlib"}


def test_samples_come_in_pairs(worker: LatencyWorker, candidate: Artifact) -> None:
    assert worker.ready.provider == "CPUExecutionProvider"
    for _ in range(2):
        pairs = worker.measure(candidate.path)
        assert len(pairs.reference) == len(pairs.candidate) >= 6
        assert all(0 < seconds < 1 for seconds in pairs.reference + pairs.candidate)


def test_a_refused_model_leaves_the_worker_alive(
    worker: LatencyWorker, candidate: Artifact, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_text("no model")
    before = worker.process_id
    with pytest.raises(InferenceError, match=r"cannot run the model: .*broken.onnx"):
        worker.measure(broken)
    worker.measure(candidate.path)
    assert worker.process_id == before


def test_a_killed_worker_is_replaced(worker: LatencyWorker, candidate: Artifact) -> None:
    before = worker.process_id
    assert before is not None
    os.kill(before, signal.SIGKILL)
    with pytest.raises(TransientError, match="the latency worker ended with exit code -9"):
        worker.measure(candidate.path)
    assert worker.process_id is None
    assert len(worker.measure(candidate.path).candidate) >= 6
    assert worker.process_id != before


def test_an_interrupt_leaves_no_late_answer(
    worker: LatencyWorker, candidate: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: str) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(worker, "_ask", interrupt)
        with pytest.raises(KeyboardInterrupt):
            worker.measure(candidate.path)
    assert worker.process_id is None
    worker.measure(candidate.path)


def test_a_worker_that_hangs_is_killed(start: Start, tmp_path: Path) -> None:
    code = "import sys, time; sys.stdin.readline(); time.sleep(60)"
    with pytest.raises(TransientError, match=r"did not answer for 0.2 s and was killed"):
        LatencyWorker(
            start,
            tmp_path / "log",
            hang_seconds=0.2,
            command=(sys.executable, "-S", "-c", code),
        )


def test_the_last_words_of_a_worker_are_told(start: Start, tmp_path: Path) -> None:
    code = "raise SystemExit('out of patience')"
    with pytest.raises(TransientError, match="exit code 1: out of patience"):
        LatencyWorker(start, tmp_path / "log", command=(sys.executable, "-S", "-c", code))


def test_the_worker_ends_with_its_parent(start: Start) -> None:
    code = f"""
import os, signal, subprocess, sys
worker = subprocess.Popen(
    [sys.executable, "-m", "paretune.evaluators.latency.worker"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
)
worker.stdin.write({encode(start)!r})
worker.stdin.flush()
worker.stdout.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""
    # The worker holds the other end of standard error: reading it to the end waits for both.
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    assert "Traceback" not in done.stderr


def test_closing_leaves_neither_process_nor_files(
    context: EvaluationContext, candidate: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    evaluator = LatencyPlugin.create(QUICK, context)
    assert len(list(folder.iterdir())) == 1
    evaluator.measure(candidate, LatencyPlugin.metrics(QUICK), "search")
    evaluator.close()
    assert list(folder.iterdir()) == []


def test_measurements_carry_interval_samples_and_conditions(
    context: EvaluationContext, candidate: Artifact
) -> None:
    options = LatencyOptions(max_seconds=0.02, batch=3)
    evaluator = LatencyPlugin.create(options, context)
    measured = evaluator.measure(candidate, LatencyPlugin.metrics(options), "search")
    evaluator.close()
    assert measured.keys() == {"latency_ms", "latency_ratio"}
    for measurement in measured.values():
        assert measurement.low is not None
        assert measurement.high is not None
        assert 0 < measurement.low <= measurement.value <= measurement.high
        assert measurement.samples.keys() == {"count", "min", "p10", "p50", "p90"}
        assert measurement.samples["count"] == measurement.conditions["blocks"]
        assert measurement.conditions["threads"] == 1
        assert measurement.conditions["batch"] == 3
        json.dumps(measurement.to_dict())


def test_inputs_are_repeated_where_a_batch_is_too_small() -> None:
    batch = Batch({"x": np.arange(6).reshape(3, 2), "n": np.arange(3)})
    tiled = latency_inputs(batch, 5)
    np.testing.assert_array_equal(tiled["n"], [0, 1, 2, 0, 1])
    np.testing.assert_array_equal(tiled["x"][3], [0, 1])
    np.testing.assert_array_equal(latency_inputs(batch, 2)["n"], [0, 1])


def test_several_inputs_of_other_types(tmp_path: Path) -> None:
    reference = artifact(models.two_inputs(tmp_path / "two.onnx"))
    ids, mask = np.zeros((2, 6), np.int64), np.ones((2, 6), np.float32)
    batches = [Batch({"ids": ids, "mask": mask})]
    context = EvaluationContext(reference, Splits(batches, batches, batches))
    evaluator = LatencyPlugin.create(LatencyOptions(max_seconds=0.02, threads=2), context)
    assert evaluator.measure(reference, LatencyPlugin.metrics(QUICK)[:1], "test")
    evaluator.close()


def test_a_model_with_another_fixed_batch_size(tmp_path: Path) -> None:
    path = tmp_path / "fixed.onnx"
    models.mlp(path, batch=4)
    batches = from_arrays({"x": np.ones((4, 8), np.float32)})
    context = EvaluationContext(artifact(path), Splits(batches, batches, batches))
    with pytest.raises(UserError, match=r"'batch' is 1, but the model's input 'x' .* takes only 4"):
        LatencyPlugin.create(QUICK, context)
    LatencyPlugin.create(LatencyOptions(max_seconds=0.02, batch=4), context).close()


def test_a_reference_that_does_not_run_is_the_users(tmp_path: Path) -> None:
    reference = artifact(models.two_inputs(tmp_path / "two.onnx", vocabulary=20))
    batches = [Batch({"ids": np.full((2, 4), 99), "mask": np.ones((2, 4), np.float32)})]
    context = EvaluationContext(reference, Splits(batches, batches, batches))
    with pytest.raises(
        UserError, match="evaluator 'latency': the model itself: .*out of data bounds"
    ):
        LatencyPlugin.create(QUICK, context)

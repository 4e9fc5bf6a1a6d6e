"""The client's side of every answer that an agent can give."""

import os
import threading
from pathlib import Path

import httpx2
import pytest

from paretune.errors import (
    CandidateError,
    Infeasible,
    InferenceError,
    ParetuneError,
    TransientError,
    UserError,
)
from paretune.evaluators.devices import patience
from paretune.evaluators.measuring.job import MODEL, Job
from tests import models
from tests.evaluators.devices.scripted import RESULT, Fault, ScriptedAgent, error, once, small_job

REFUSED = httpx2.ConnectError("connection refused")
LOST = httpx2.ReadError("connection reset")


@pytest.fixture
def agent(monkeypatch: pytest.MonkeyPatch) -> ScriptedAgent:
    monkeypatch.setattr(patience, "_FIRST_DELAY", 0.001)
    return ScriptedAgent()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return small_job(tmp_path)


def test_a_job_goes_there_with_hashes_and_its_result_comes_back(
    agent: ScriptedAgent, job: Job
) -> None:
    device = agent.device()
    assert device.machine == "m"
    assert device.run(job) == RESULT
    (sent,) = agent.jobs.values()
    assert {role: agent.files[digest] for role, digest in sent.files.items()} == {
        "model": b"model",
        "inputs": b"inputs",
    }
    assert (sent.kind, sent.setup, sent.options) == (job.kind, job.setup, job.options)


def test_files_travel_once(agent: ScriptedAgent, job: Job, tmp_path: Path) -> None:
    device = agent.device()
    device.run(job)
    device.run(job)
    assert agent.count("PUT files") == agent.count("HEAD files") == 2
    # Another search on the same device.
    agent.device().run(job)
    assert agent.count("PUT files") == 2
    Path(job.files[MODEL]).write_bytes(b"another model")
    device.run(job)
    assert agent.count("PUT files") == 3
    assert len(agent.files) == 3


def test_files_that_the_agent_has_removed_go_there_again(agent: ScriptedAgent, job: Job) -> None:
    device = agent.device()
    device.run(job)
    agent.files.clear()
    assert device.run(job) == RESULT
    assert agent.count("PUT files") == 4


def test_an_agent_that_keeps_no_file_is_given_up(agent: ScriptedAgent, job: Job) -> None:
    def forget(_: httpx2.Request) -> None:
        agent.files.clear()

    agent.fault = forget
    with pytest.raises(TransientError, match=r"'pi' does not keep the files .* model\.onnx"):
        agent.device().run(job)


@pytest.mark.parametrize(
    "fault",
    [
        once("HEAD", REFUSED),
        once("PUT", LOST),
        once("PUT", error(507, "the disk is full")),
        once("POST", LOST),
        once("POST", error(503, "starting")),
        once("POST", error(429, "too many jobs wait"), times=3),
        once("POST", error(401, "the token is missing or wrong")),
        once("GET", httpx2.ReadTimeout("timed out"), path="jobs", times=4),
        once("GET", httpx2.Response(502, text="<html>bad gateway</html>"), path="jobs"),
        once("GET", httpx2.Response(200, text="<html>please log in</html>"), path="jobs"),
        once("GET", httpx2.Response(200, json=["?"]), path="jobs"),
        once("GET", httpx2.Response(200, json={"state": "queued", "position": 1}), path="jobs"),
        once("GET", httpx2.Response(200, json={"state": "running", "doing": ""}), path="jobs"),
        once("GET", error(404, "no such job"), path="jobs", times=2),
    ],
)
def test_what_goes_by_costs_nothing(agent: ScriptedAgent, job: Job, fault: Fault) -> None:
    device = agent.device()
    agent.fault = fault
    assert device.run(job) == RESULT


def test_an_answer_that_got_lost_does_not_start_the_job_twice(
    agent: ScriptedAgent, job: Job
) -> None:
    device = agent.device()
    ids = []

    def lose_answer(request: httpx2.Request) -> httpx2.Response | Exception | None:
        if request.method != "POST":
            return None
        ids.append(request.content.split(b'"id":"')[1][:32])
        return LOST if len(ids) == 1 else None

    agent.fault = lose_answer
    device.run(job)
    assert len(ids) == 2
    assert len(set(ids)) == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (once("GET", REFUSED, path="jobs", times=10**9), "connection refused"),
        (once("POST", error(429, "too many jobs wait"), times=10**9), "too many jobs wait"),
        (once("PUT", error(507, "No space left on device"), times=10**9), "No space left"),
    ],
)
def test_what_stays_is_transient(agent: ScriptedAgent, job: Job, fault: Fault, reason: str) -> None:
    device = agent.device(patience=0.05)
    agent.fault = fault
    with pytest.raises(TransientError, match=rf"device 'pi' .* more than 0\.05 s: {reason}"):
        device.run(job)


def test_a_candidate_that_ends_the_agent_each_time_is_not_tried_for_ever(
    agent: ScriptedAgent, job: Job
) -> None:
    device = agent.device()
    agent.fault = once("GET", error(404, "no such job"), path="jobs", times=10**9)
    with pytest.raises(CandidateError, match="'pi' was lost and came back 3 times"):
        device.run(job)
    assert agent.count("POST jobs") == 3


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("inference", InferenceError),
        ("candidate", CandidateError),
        ("infeasible", Infeasible),
        ("transient", TransientError),
        ("user", UserError),
    ],
)
def test_failures_come_back_as_what_they_are(
    agent: ScriptedAgent, job: Job, kind: str, expected: type[ParetuneError]
) -> None:
    agent.outcome = {"state": "failed", "error": {"kind": kind, "message": "it broke"}}
    with pytest.raises(expected, match="^device 'pi': it broke$") as caught:
        agent.device().run(job)
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    "outcome",
    [
        {"state": "done"},
        {"state": "done", "result": {"figures": 3}},
        {"state": "failed", "error": {"kind": "unheard of", "message": ""}},
    ],
)
def test_an_outcome_that_makes_no_sense_is_transient(
    agent: ScriptedAgent, job: Job, outcome: dict[str, object]
) -> None:
    agent.outcome = outcome
    with pytest.raises(TransientError, match="'pi' answers strangely"):
        agent.device().run(job)


def test_a_job_that_the_agent_refuses_is_a_mistake(agent: ScriptedAgent, job: Job) -> None:
    device = agent.device()
    agent.fault = once("POST", error(400, "'setup.cpus': there is no CPU 1; allowed are 0"))
    with pytest.raises(UserError, match="'pi' refuses the job: 'setup.cpus': there is no CPU 1"):
        device.run(job)


def test_a_runtime_that_is_not_there_is_a_mistake(agent: ScriptedAgent, job: Job) -> None:
    agent.about["runtimes"] = ["onnxruntime-gpu"]
    with pytest.raises(UserError, match="'onnxruntime' is not installed there; nearest is"):
        agent.device().run(job)
    assert not agent.files


@pytest.mark.parametrize("known", [True, False])
def test_a_file_beyond_the_limit_is_a_mistake(agent: ScriptedAgent, job: Job, known: bool) -> None:
    if known:
        agent.about["file_bytes"] = 3
    device = agent.device()
    agent.fault = once("PUT", error(413, "too large: at most 3 bytes are accepted"))
    with pytest.raises(UserError, match=r"model\.onnx'.* 3 bytes"):
        device.run(job)
    assert agent.count("PUT files") == (0 if known else 1)


def test_a_file_that_changes_on_its_way_is_transient(agent: ScriptedAgent, job: Job) -> None:
    device = agent.device()
    agent.fault = once("PUT", error(400, "the content has the SHA-256 abc"))
    with pytest.raises(TransientError, match=r"refuses .*model\.onnx': the content has"):
        device.run(job)


def test_a_model_of_several_files_is_refused(agent: ScriptedAgent, job: Job) -> None:
    import onnx

    path = Path(job.files[MODEL])
    model = onnx.load(models.mlp(path))
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    with pytest.raises(UserError, match=r"model\.onnx' keeps weights in other files \('weights"):
        agent.device().run(job)


def test_an_interrupt_frees_the_device(agent: ScriptedAgent, job: Job) -> None:
    device = agent.device()

    def interrupt(request: httpx2.Request) -> None:
        if request.method == "GET":
            raise KeyboardInterrupt

    agent.fault = interrupt
    with pytest.raises(KeyboardInterrupt):
        device.run(job)
    assert agent.count("DELETE jobs") == 1
    assert not agent.jobs


def test_an_interrupt_does_not_wait_for_a_device_that_is_away(
    agent: ScriptedAgent, job: Job
) -> None:
    device = agent.device(patience=1000)

    def interrupt(request: httpx2.Request) -> Exception | None:
        if request.method == "GET":
            raise KeyboardInterrupt
        return REFUSED if request.method == "DELETE" else None

    agent.fault = interrupt
    with pytest.raises(KeyboardInterrupt):
        device.run(job)


def test_closing_ends_a_job_of_another_thread(agent: ScriptedAgent, job: Job) -> None:
    device = agent.device(patience=1000)
    polled = threading.Event()
    agent.outcome = {"state": "running", "doing": "measuring"}
    errors: list[Exception] = []

    def note(request: httpx2.Request) -> None:
        if request.method == "GET":
            polled.set()

    def run() -> None:
        try:
            device.run(job)
        except TransientError as error:
            errors.append(error)

    agent.fault = note
    thread = threading.Thread(target=run)
    thread.start()
    assert polled.wait(10)
    device.close()
    thread.join(10)
    assert not thread.is_alive()
    assert not agent.jobs
    assert "device 'pi' is closed" in str(errors[0])


def test_closing_ends_the_wait_for_a_device_that_is_away(agent: ScriptedAgent, job: Job) -> None:
    device = agent.device(patience=1000)
    away = threading.Event()

    def be_away(_: httpx2.Request) -> Exception:
        away.set()
        return REFUSED

    def fail() -> None:
        with pytest.raises(TransientError, match="closed"):
            device.run(job)

    agent.fault = be_away
    thread = threading.Thread(target=fail)
    thread.start()
    assert away.wait(10)
    device.close()
    thread.join(10)
    assert not thread.is_alive()


def test_a_clock_that_jumps_changes_nothing(
    agent: ScriptedAgent, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def jump() -> float:
        # Back to 1970 and far into the future.
        return float(int.from_bytes(os.urandom(4)))

    monkeypatch.setattr("time.time", jump)
    device = agent.device(patience=30)
    agent.fault = once("GET", REFUSED, path="jobs", times=5)
    assert device.run(job) == RESULT


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (once("GET", REFUSED, times=10**9), "does not answer at http://board: connection refused"),
        (once("GET", error(401, "the token is wrong")), "refuses the token: the token is wrong"),
        (once("GET", httpx2.Response(404, text="nginx")), "is no device agent of Paretune"),
        (once("GET", httpx2.Response(200, text="<html>")), "is no device agent of Paretune"),
        (once("GET", httpx2.Response(302)), r"no device agent of Paretune \(Found, HTTP 302"),
    ],
)
def test_what_is_no_agent_is_a_mistake_at_once(
    agent: ScriptedAgent, fault: Fault, message: str
) -> None:
    agent.fault = fault
    with pytest.raises(UserError, match=rf"^device 'pi'.* {message}"):
        agent.device(patience=0.05)


def test_another_protocol_is_a_mistake(agent: ScriptedAgent) -> None:
    agent.about = {"protocol": 2, "version": "7.0"}
    with pytest.raises(
        UserError, match=r"version 2 of the protocol \(Paretune 7\.0\), .* is version 1;"
    ):
        agent.device()

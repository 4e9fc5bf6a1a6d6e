"""Real agents, from start to end."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from paretune.evaluators.devices.http import HttpPlugin
from paretune.search.cli.main import app
from tests.evaluators.devices.running import (
    MAIN,
    TOKEN,
    AgentProcess,
    Run,
    real_job,
    wait_until,
)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    process = AgentProcess(tmp_path, "--lease", "1")
    yield process
    process.close()


def client(agent: AgentProcess, **options: Any) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return httpx2.Client(base_url=agent.url, headers=headers, timeout=30, **options)


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*MAIN, "--port", "0", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_makes_a_token_and_keeps_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    tokens = set()
    environment = {key: value for key, value in os.environ.items() if key != "PARETUNE_TOKEN"}
    for _ in range(2):
        process = start("--folder", str(folder), env=environment)
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        token = (folder / "token").read_text().strip()
        answer = httpx2.get(
            f"{told['url']}/v1/about", headers={"Authorization": f"Bearer {token}"}
        ).json()
        assert answer["machine"] == told["machine"]
        tokens.add(token)
        process.terminate()
        rest, said = process.communicate(timeout=60)
        assert (process.returncode, rest) == (0, "")
        assert str(folder / "token") in said
        assert token not in said
    assert len(tokens) == 1
    assert len(tokens.pop()) >= 32
    assert (mode(folder), mode(folder / "token")) == (0o700, 0o600)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_its_jobs_when_told_to(
    agent: AgentProcess, tmp_path: Path, number: signal.Signals
) -> None:
    with closing(HttpPlugin.connect("a", {**agent.options, "patience": 0.1})) as device:
        run = Run(device, real_job(tmp_path / "job", seconds=1e3))
        wait_until(lambda: agent.measures)
        (worker,) = workers(agent)
        agent.process.send_signal(number)
        assert agent.process.wait(60) == 0
        wait_until(lambda: not Path(f"/proc/{worker}").exists())
        run.join(60)
        assert run.error is not None
    assert "Traceback" not in agent.log.read_text()
    assert not list((agent.folder / "scratch").glob("paretune-device-*"))


def test_it_ends_with_standard_input(agent: AgentProcess) -> None:
    # Closes it.
    agent.process.communicate(timeout=60)
    assert agent.process.returncode == 0


def test_a_restart_finds_the_files_and_an_empty_queue(agent: AgentProcess, tmp_path: Path) -> None:
    job = real_job(tmp_path / "job")
    with closing(HttpPlugin.connect("a", agent.options)) as device:
        device.run(job)
        before = sorted((agent.folder / "files").iterdir())
        (agent.folder / "files" / "upload-broken").touch()
        agent.kill()
        agent.start()
        with client(agent) as http:
            assert http.get(f"/v1/jobs/{'0' * 32}").status_code == 404
            assert all(http.head(f"/v1/files/{path.name}").is_success for path in before)
        device.run(job)
    assert sorted((agent.folder / "files").iterdir()) == before


def test_a_client_that_is_gone_frees_the_device(agent: AgentProcess, tmp_path: Path) -> None:
    device = HttpPlugin.connect("gone", agent.options)
    run = Run(device, real_job(tmp_path / "job", seconds=1e3))
    with client(agent) as http:
        wait_until(lambda: agent.measures)
        (worker,) = workers(agent)
        # The search dies: nobody polls, and nobody cancels.
        job_id, sent = "ab" * 16, _sent(agent, tmp_path / "job")
        assert http.post("/v1/jobs", json={"id": job_id, "job": sent}).status_code == 202
        abandoned = "cd" * 16
        assert http.post("/v1/jobs", json={"id": abandoned, "job": sent}).status_code == 202
        device.close()
        while (state := http.get(f"/v1/jobs/{job_id}?wait=5").json())["state"] != "done":
            assert state["state"] in ("queued", "running")
        assert http.get(f"/v1/jobs/{abandoned}").status_code == 404
    run.join(60)
    assert not Path(f"/proc/{worker}").exists()


def test_progress_cancelling_and_coming_back(agent: AgentProcess, tmp_path: Path) -> None:
    job = real_job(tmp_path / "job")
    with closing(HttpPlugin.connect("a", agent.options)) as device:
        device.run(job)
    sent = _sent(agent, tmp_path / "job")
    long = {**sent, "options": {**sent["options"], "seconds": 1e3}}
    ids = ["01" * 16, "02" * 16]
    with client(agent) as http:
        for job_id, body in zip(ids, (long, sent), strict=True):
            assert http.post("/v1/jobs", json={"id": job_id, "job": body}).status_code == 202
        wait_until(lambda: http.get(f"/v1/jobs/{ids[0]}").json().get("doing"))
        assert http.get(f"/v1/jobs/{ids[1]}").json() == {"state": "queued", "position": 1}
        (worker,) = workers(agent)
        # The connection broke before the answer came.
        assert http.post("/v1/jobs", json={"id": ids[0], "job": long}).status_code == 202
        assert http.get(f"/v1/jobs/{ids[0]}").json()["state"] == "running"
        assert http.delete(f"/v1/jobs/{ids[0]}").status_code == 204
        wait_until(lambda: http.get(f"/v1/jobs/{ids[1]}?wait=5").json()["state"] == "done")
        assert not Path(f"/proc/{worker}").exists()


def test_it_sleeps_while_it_measures(tmp_path: Path) -> None:
    # With the usual lease its client asks so seldom that it does not wake it here.
    with (
        closing(AgentProcess(tmp_path)) as agent,
        closing(HttpPlugin.connect("a", agent.options)) as device,
    ):
        run = Run(device, real_job(tmp_path / "job", seconds=1e3))
        with client(agent) as http:
            wait_until(lambda: http.get(f"/v1/jobs/{device._job_id}").json().get("doing"))
        time.sleep(0.5)
        begin, before = time.monotonic(), _switches(agent)
        time.sleep(2)
        # It looks once a second whether the job was cancelled.
        assert _switches(agent) - before <= 4 * (time.monotonic() - begin)
        device.close()
        run.join(60)


def test_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(cert, key)
    agent = AgentProcess(tmp_path, "--cert", str(cert), "--key", str(key))
    try:
        assert agent.url.startswith("https://")
        with closing(HttpPlugin.connect("a", {**agent.options, "ca": str(cert)})) as device:
            assert device.run(real_job(tmp_path / "job")).figures["load"].value > 0
        with pytest.raises(httpx2.HTTPError):
            httpx2.get(agent.url.replace("https", "http"))
        with pytest.raises(httpx2.HTTPError, match="CERTIFICATE"):
            httpx2.get(agent.url)
    finally:
        agent.close()
    assert "Traceback" not in agent.log.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port", "70000"], "--port: must be a number from 0 to 65535, but got '70000'"),
        (["--keep", "lots"], "--keep: must be a size such as 4GiB or 500MB, but got 'lots'"),
        (["--lease", "0"], "--lease: must be a number of seconds, more than 0, but got '0'"),
        (["--max-queue", "0"], "--max-queue: must be a whole number, 1 or more, but got '0'"),
        (["--cert", "x.pem"], "--cert and --key go together"),
        (["--cert", "x.pem", "--key", "y.pem"], "cannot use --cert 'x.pem' with --key 'y.pem'"),
        (["--token-file", "nowhere"], "cannot read the token in 'nowhere'"),
        (["--token-file", "short"], "must be 16 or more visible ASCII characters"),
        (["--host", "192.0.2.1"], "cannot listen at '192.0.2.1', port 0"),
        (["--host", "no host"], "cannot listen at 'no host', port 0"),
        (["--folder", "full"], "the folder 'full' holds other things"),
        (["--folder", "short"], "cannot use the folder 'short'"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "short").write_text("secret")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "full").chmod(0o755)
    folder = () if "--folder" in arguments else ("--folder", str(tmp_path / "folder"))
    process = start(*folder, *arguments, cwd=tmp_path)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in said
    assert "Traceback" not in said
    assert "secret" not in said
    assert mode(tmp_path / "full") == 0o755


def test_two_agents_need_two_folders_and_two_ports(agent: AgentProcess, tmp_path: Path) -> None:
    process = start("--folder", str(agent.folder))
    assert "another agent uses the folder" in process.communicate(timeout=60)[1]
    port = agent.url.rpartition(":")[2]
    process = start("--port", port, "--folder", str(tmp_path / "other"))
    assert f"cannot listen at '127.0.0.1', port {port}: " in process.communicate(timeout=60)[1]
    assert process.returncode == 2


def test_the_command_passes_its_arguments_on() -> None:
    for arguments in (["--help"], ["-h"]):
        shown = CliRunner().invoke(app, ["device", "serve", *arguments])
        assert shown.exit_code == 0
        assert "paretune device serve --host 0.0.0.0 --cert cert.pem --key key.pem" in shown.output
    wrong = CliRunner().invoke(app, ["device", "serve", "--prt", "1"])
    assert wrong.exit_code == 2
    assert "--prt" in wrong.output


def test_it_needs_nothing_heavy() -> None:
    heavy = ("pydantic", "typer", "rich", "onnx", "onnxruntime", "torch", "mlflow", "pandas")
    code = (
        "import sys, paretune.evaluators.devices.agent.main as m\n"
        f"found = [name for name in {heavy} if name in sys.modules]\n"
        "sys.exit(str(found) if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def workers(agent: AgentProcess) -> list[str]:
    """Process ids of what measures."""
    tasks = Path(f"/proc/{agent.process.pid}/task").glob("*/children")
    return " ".join(path.read_text() for path in tasks).split()


def make_certificate(cert: Path, key: Path) -> None:
    """Self-signed, for 127.0.0.1."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=agent"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )


def _sent(agent: AgentProcess, folder: Path) -> dict[str, Any]:
    """The job in the folder, as it is sent once its files are with the agent."""
    job = real_job(folder)
    names = {path.stat().st_size: path.name for path in (agent.folder / "files").iterdir()}
    digests = {role: names[Path(path).stat().st_size] for role, path in job.files.items()}
    return {**job.to_dict(), "files": digests}


def _switches(agent: AgentProcess) -> int:
    """How often its threads have slept."""
    lines = [
        line
        for task in Path(f"/proc/{agent.process.pid}/task").iterdir()
        for line in (task / "status").read_text().splitlines()
    ]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))

"""The device `ssh`: the system's `ssh`, a real server, real agents."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from paretune.errors import TransientError, UserError
from paretune.evaluators.devices.remote import RemoteDevice
from paretune.evaluators.devices.ssh import SshPlugin
from tests.evaluators.devices.running import Run, real_job, wait_until
from tests.evaluators.devices.ssh_server import SshServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    running = SshServer(tmp_path)
    yield running
    running.close()


def connect(server: SshServer, **options: Any) -> RemoteDevice:
    given = {**server.options(), "python": sys.executable, "patience": 30, **options}
    return SshPlugin.connect("pi", given)


@pytest.fixture
def device(server: SshServer) -> Iterator[RemoteDevice]:
    connected = connect(server)
    yield connected
    connected.close()


def processes(text: str) -> dict[int, str]:
    """Command lines with `text` in them, by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if text in command and int(folder.name) != os.getpid():
            found[int(folder.name)] = command
    return found


def agents(server: SshServer) -> list[int]:
    return list(processes(f"--folder {server.home}"))


def measures(server: SshServer) -> bool:
    return any(
        f"PPid:\t{agent}\n" in Path(f"/proc/{process}/status").read_text()
        for agent in agents(server)
        for process in processes("measuring.worker")
    )


def test_the_agent_travels_once_measures_and_ends_with_us(
    server: SshServer, tmp_path: Path
) -> None:
    device = connect(server)
    assert device.run(real_job(tmp_path)).figures["load"].value > 0
    (bundle,) = server.home.glob(".cache/paretune/*.pyz")
    sent = bundle.stat()
    device.close()
    wait_until(lambda: not agents(server))
    assert not processes(f"me@127.0.0.1:{server.port}")
    device = connect(server)
    assert bundle.stat() == sent
    device.close()


def test_the_token_is_nowhere_to_be_seen(server: SshServer, device: RemoteDevice) -> None:
    token = device._agent._http.headers["Authorization"].removeprefix("Bearer ")
    assert len(token) > 30
    assert not processes(token)
    (agent,) = agents(server)
    assert token not in Path(f"/proc/{agent}/environ").read_text()
    assert not [path for path in server.home.rglob("*") if path.is_file() and _has(path, token)]


def _has(path: Path, token: str) -> bool:
    return token.encode() in path.read_bytes()


def test_a_connection_that_breaks_costs_nothing(
    server: SshServer, device: RemoteDevice, tmp_path: Path
) -> None:
    run = Run(device, real_job(tmp_path, seconds=1))
    wait_until(lambda: measures(server))
    server.break_connections()
    assert run.finish().figures["load"].value > 0
    assert len(agents(server)) == 1


def test_an_agent_that_has_not_noticed_makes_room(server: SshServer, tmp_path: Path) -> None:
    server.notices = False
    device = connect(server)
    run = Run(device, real_job(tmp_path, seconds=1))
    wait_until(lambda: measures(server))
    (old,) = agents(server)
    server.break_connections()
    server.notices = True
    assert run.finish().figures["load"].value > 0
    assert old not in agents(server)
    device.close()


def test_an_agent_that_dies_is_started_again(
    server: SshServer, device: RemoteDevice, tmp_path: Path
) -> None:
    run = Run(device, real_job(tmp_path, seconds=0.5))
    wait_until(lambda: measures(server))
    (agent,) = agents(server)
    os.kill(agent, signal.SIGKILL)
    assert run.finish().figures["load"].value > 0


def test_a_server_that_stays_away_is_transient_and_welcome_back(
    server: SshServer, tmp_path: Path
) -> None:
    device = connect(server, patience=0.5)
    run = Run(device, real_job(tmp_path, seconds=60))
    wait_until(lambda: measures(server))
    server.shut()
    with pytest.raises(TransientError, match=r"'pi' is away for more than 0\.5 s: .*refused"):
        run.finish()
    server.open()
    assert device.run(real_job(tmp_path)).figures["load"].value > 0
    device.close()


def test_a_search_that_is_killed_leaves_nothing_behind(server: SshServer) -> None:
    code = (
        "import json, sys, time; from paretune.evaluators.devices.ssh import SshPlugin;"
        " device = SshPlugin.connect('pi', json.loads(sys.argv[1])); print(flush=True);"
        " time.sleep(100)"
    )
    options = json.dumps({**server.options(), "python": sys.executable})
    with (
        # Not in pytest's own: the path of a socket must be short.
        TemporaryDirectory() as scratch,
        subprocess.Popen(
            [sys.executable, "-c", code, options],
            stdout=subprocess.PIPE,
            env={**os.environ, "TMPDIR": scratch},
        ) as search,
    ):
        assert search.stdout is not None
        assert search.stdout.readline()
        assert agents(server)
        search.kill()
    wait_until(lambda: not agents(server))
    wait_until(lambda: not processes(f"127.0.0.1:{server.port}"))


def script(folder: Path, text: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("python", "message"),
    [
        (None, "there is no '~/no/python' on ssh://me@.*; the option 'python' names it"),
        ("echo 3 9 1", "is Python 3.9, but 3.11 or newer is needed"),
        ("echo 3 12 0", "has no numpy; there, run .* -m pip install numpy onnxruntime"),
        ("echo 'Illegal instruction' >&2; exit 132", "fails: Illegal instruction"),
        (
            f'[ "$1" = -c ] && exec {sys.executable} "$@"; echo "out of everything" >&2; exit 3',
            "the agent ended: out of everything",
        ),
    ],
)
def test_what_the_agent_needs(
    server: SshServer, tmp_path: Path, python: str | None, message: str
) -> None:
    command = "~/no/python" if python is None else script(tmp_path, python)
    with pytest.raises(UserError, match=rf"^device 'pi': .*{message}"):
        connect(server, python=command)
    assert not processes(f"127.0.0.1:{server.port}")


def test_a_stranger_does_not_get_in(server: SshServer) -> None:
    with pytest.raises(UserError, match="'pi': no way to ssh://.*: ssh ended: .*Permission denied"):
        connect(server, **server.options("stranger"))


def test_a_host_that_is_another_one_is_not_trusted(server: SshServer) -> None:
    options = server.options()
    options["ssh_options"][-1] = "UserKnownHostsFile=/dev/null"
    with pytest.raises(UserError, match="ssh ended: Host key verification failed"):
        connect(server, **options)


def test_a_host_that_is_not_there() -> None:
    options = {"host": "me@no-such-host.invalid", "ssh_options": ["-F", "none"]}
    with pytest.raises(UserError, match="ssh ended: .*Could not resolve hostname no-such-host"):
        SshPlugin.connect("pi", options)


def test_no_ssh_here(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/no/such/folder")
    with pytest.raises(UserError, match="'pi': there is no command 'ssh' on this host"):
        connect(server)


def test_a_server_that_allows_no_tunnel(server: SshServer) -> None:
    server.tunnels = False
    with pytest.raises(UserError, match="'pi' does not answer .* through ssh"):
        connect(server, patience=0.5)


def test_a_folder_that_cannot_be(server: SshServer) -> None:
    (server.home / "file").touch()
    with pytest.raises(UserError, match="the agent cannot be stored in '~/file/x' on .*directory"):
        connect(server, folder="~/file/x")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give 'url' .* or 'host'"),
        ({"url": "ssh://a", "host": "a"}, "give 'url' .* or 'host'"),
        ({"url": "http://a"}, "url"),
        ({"url": "ssh://-oProxyCommand=x"}, "url"),
        ({"host": "-oProxyCommand=x"}, "host"),
        ({"host": "a", "port": 0}, "port"),
        ({"host": "a", "prot": 22}, "unknown key 'prot'; nearest is 'port'"),
        ({"host": "a", "thread": 4}, "unknown key 'thread'; nearest is 'threads'; .* python, .*"),
    ],
)
def test_mistakes_in_the_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=rf"^device 'pi': .*{message}"):
        SshPlugin.connect("pi", options)

"""The way to a device through the system's `ssh`: the agent is brought there, and a tunnel."""

import json
import shlex
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_urlsafe
from tempfile import TemporaryDirectory
from threading import Lock
from urllib.parse import urlsplit

from paretune.errors import UserError
from paretune.evaluators.devices.bundle import write_bundle
from paretune.evaluators.devices.ssh_session import LinkDown, SshSession

_START_SECONDS = 120.0
_SLOWEST = 20e3
"""Bytes a second that the agent travels with at least."""

_OLDEST_PYTHON = (3, 11)
_MARK = "paretune:"

_SCRIPT = """
home() { case $1 in "~/"*) echo "$HOME/${1#??}";; *) echo "$1";; esac; };
tell() { echo "paretune: $*"; };
folder=$(home "$1"); python=$(home "$2"); file="$folder/$3.pyz"; size=$4; old=$6;
command -v "$python" >/dev/null || { tell no-python; exit 0; };
version=$("$python" -c "$5"); tell python $version; [ -n "$version" ] || exit 0;
if [ ! -f "$file" ]; then
mkdir -p "$folder" && tell send && head -c "$size" > "$file.$$"
&& [ "$(wc -c < "$file.$$")" -eq "$size" ] && mv "$file.$$" "$file"
|| { rm -f "$file.$$"; tell not-stored; exit 0; };
fi;
runs() { tr "\\0" " " < "/proc/$1/cmdline" | grep -qF -- "--folder $folder/agent"; };
for signal in TERM KILL KILL; do
if [ -n "$old" ] && runs "$old"; then kill -s "$signal" "$old"; sleep 1; fi;
done 2>/dev/null;
for second in 1 2 3 4 5 6 7 8 9 10; do
if runs "$(cat "$folder/agent.pid")"; then sleep 1; fi;
done 2>/dev/null;
echo $$ > "$folder/agent.pid";
tell ready $$;
exec "$python" "$file" serve --port 0 --exit-with-stdin --token-file - --folder "$folder/agent"
""".replace("\n", " ")
"""Runs on the device in any POSIX shell. Lines that begin with the mark are for us.

Where the network broke, our agent of the connection before may not have noticed, and still hold the
folder: it is ended. The agent of a process that has just ended is about to end by itself.
"""

_PROBE = (
    "import sys, importlib.util as u;"
    " print(*sys.version_info[:2], int(u.find_spec('numpy') is not None))"
)


@dataclass(frozen=True)
class SshTarget:
    """Where and how to log in.

    Attributes:
        host: as `ssh` takes it.
        options: for `ssh`, before the host.
        python: command there; `~/` is the home there.
        folder: there, for the agent and what it stores.
    """

    host: str
    options: tuple[str, ...]
    python: str
    folder: str


class SshLink:
    """Logs in, installs the agent where it is missing, starts it, and tunnels to it.

    The agent ends with the connection, and the connection with this process, however that ends.

    Args:
        name: of the device, for messages.
        target: where to log in.
    """

    def __init__(self, name: str, target: SshTarget) -> None:
        self.token = token_urlsafe(32)
        self._name = name
        self._target = target
        self._scratch = TemporaryDirectory(prefix="paretune-ssh-")
        # Short names: the path of a socket has 108 characters at most.
        self.socket = Path(self._scratch.name) / "s"
        self._control = self.socket.with_name("c")
        bundle = self.socket.with_name("agent.pyz")
        write_bundle(bundle)
        self._bundle = bundle.read_bytes()
        self._session: SshSession | None = None
        self._agent_id = ""
        self._closed = False
        self._lock = Lock()

    def ensure(self) -> None:
        """Log in, again if the connection broke; if it stands, nothing.

        Raises:
            LinkDown: `ssh` failed.
            UserError: what the agent needs is not there.
            FileNotFoundError: there is no `ssh` here.
        """
        with self._lock:
            if self._closed:
                raise LinkDown("it is closed")
            if self._session is not None and self._session.alive:
                return
            self._end()
            try:
                self._session = self._started()
                self._tunnel(self._port(self._session))
            except BaseException:
                self._end()
                raise

    def close(self) -> None:
        """End the agent and the connection."""
        with self._lock:
            self._closed = True
            self._end()
            self._scratch.cleanup()

    def _end(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _started(self) -> SshSession:
        target = self._target
        arguments = (
            target.folder,
            target.python,
            sha256(self._bundle).hexdigest()[:16],
            str(len(self._bundle)),
            _PROBE,
            self._agent_id,
        )
        command = shlex.join(("exec", "sh", "-c", _SCRIPT, "sh", *arguments))
        login = self._ssh("-o", "ControlMaster=yes", "-T")
        session = SshSession(
            [*login, "--", target.host, command], self.socket.with_name("log"), _START_SECONDS
        )
        try:
            self._converse(session)
        except BaseException:
            session.close()
            raise
        return session

    def _converse(self, session: SshSession) -> None:
        host, python = self._target.host, self._target.python
        who = f"device '{self._name}'"
        while True:
            match session.line(_MARK).split()[1:]:
                case ["no-python"]:
                    raise UserError(
                        f"{who}: there is no '{python}' on {host}; the option 'python' names it"
                    )
                case ["python", major, minor, numpy]:
                    self._check_python((int(major), int(minor)), numpy == "1")
                case ["python", *_]:
                    raise UserError(f"{who}: '{python}' on {host} fails: {session.last_words()}")
                case ["send"]:
                    session.deadline += len(self._bundle) / _SLOWEST
                    session.write(self._bundle)
                case ["not-stored"]:
                    raise LinkDown(
                        f"the agent cannot be stored in '{self._target.folder}' on {host}:"
                        f" {session.last_words()}"
                    )
                case ["ready", process_id]:
                    self._agent_id = process_id
                    session.write(self.token.encode() + b"\n")
                    return

    def _check_python(self, version: tuple[int, int], numpy: bool) -> None:
        host, python = self._target.host, self._target.python
        if version < _OLDEST_PYTHON:
            raise UserError(
                f"device '{self._name}': '{python}' on {host} is Python {_dotted(version)}, but"
                f" {_dotted(_OLDEST_PYTHON)} or newer is needed; the option 'python' names another"
            )
        if not numpy:
            raise UserError(
                f"device '{self._name}': '{python}' on {host} has no numpy; there, run"
                f" {python} -m pip install numpy onnxruntime"
            )

    def _port(self, session: SshSession) -> int:
        text = session.line("{")
        try:
            return urlsplit(json.loads(text)["url"]).port or 0
        except (ValueError, KeyError, TypeError) as error:
            raise LinkDown(f"the agent answers strangely: {text!r}") from error

    def _tunnel(self, port: int) -> None:
        self.socket.unlink(missing_ok=True)
        command = self._ssh("-o", "ControlMaster=no", "-O", "forward")
        forward = f"{self.socket}:127.0.0.1:{port}"
        done = subprocess.run(
            [*command, "-L", forward, "--", self._target.host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
            check=False,
        )
        if done.returncode:
            raise LinkDown(f"ssh makes no tunnel: {done.stderr.strip()}")

    def _ssh(self, *more: str) -> list[str]:
        # Of an option given twice, ssh takes the first: the user's go before ours.
        return [
            "ssh",
            *self._target.options,
            *("-o", "BatchMode=yes"),
            *("-o", "ConnectTimeout=10"),
            *("-o", "ServerAliveInterval=5"),
            *("-o", "ServerAliveCountMax=3"),
            *("-o", "ControlPersist=no"),
            *("-o", f"ControlPath={self._control}"),
            *more,
        ]


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"

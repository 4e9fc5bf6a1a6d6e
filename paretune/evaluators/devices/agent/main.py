"""The agent as a process."""

import json
import logging
import os
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import closing
from importlib.metadata import version

from paretune.errors import UserError
from paretune.evaluators.devices.agent.app import Api
from paretune.evaluators.devices.agent.arguments import Arguments, read_arguments
from paretune.evaluators.devices.agent.files import FileStore
from paretune.evaluators.devices.agent.folder import open_folder
from paretune.evaluators.devices.agent.listening import Tls, is_loopback, listen, url_of
from paretune.evaluators.devices.agent.queue import JobQueue
from paretune.evaluators.devices.agent.requests import Allowance
from paretune.evaluators.devices.agent.runtimes import installed_runtimes
from paretune.evaluators.devices.agent.server import QuietServer
from paretune.evaluators.devices.agent.token import given_token, kept_token
from paretune.evaluators.devices.local import LocalDevice


def main(arguments: Sequence[str] | None = None, prog: str = "paretune-device.pyz") -> int:
    """Serve until told to end.

    Args:
        arguments: of the command; None for those of this process.
        prog: what starts it, for the messages.

    Returns:
        the exit code.
    """
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    given = read_arguments(arguments, prog)
    try:
        serve(given)
    except UserError as error:
        _say(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def serve(given: Arguments) -> None:
    """Answer requests until told to end; moves this process into the agent's folder.

    Raises:
        UserError: it cannot start like this.
    """
    tls = Tls.of(given.cert, given.key)
    token = given_token(given.token_file)
    sysfs = str(given.sysfs.absolute())
    with (
        closing(listen(given.host, given.port)) as listener,
        open_folder(given.folder) as folder,
        closing(LocalDevice()) as device,
    ):
        runtimes = installed_runtimes()
        if not runtimes:
            raise UserError("no runtime is installed here; pip install onnxruntime")
        queue = JobQueue(device, given.lease, given.max_queue)
        api = Api(
            queue,
            FileStore(folder.files, given.keep, queue.files_in_use),
            Allowance(runtimes, _cpus(), given.max_seconds, given.max_memory, sysfs),
            min(given.max_file, given.keep),
            {
                "version": version("paretune"),
                "machine": device.machine,
                "host": socket.gethostname(),
                "runtimes": runtimes,
                "lease_seconds": given.lease,
            },
            given.patience,
        )
        url = url_of(listener, tls)

        def ready() -> None:
            _say(f"measures at {url} with {', '.join(runtimes)}; end with Ctrl-C")
            if token is None:
                _say(f"the token that clients need is in {folder.token}")
            if tls is None and not is_loopback(listener):
                _say("warning: without --cert and --key others can read the token on its way")
            # For programs: one line of JSON.
            print(json.dumps({"url": url, "machine": device.machine}), flush=True)  # noqa: T201

        app = api.app(token or kept_token(folder.token))
        server = QuietServer(app, ready, queue.end, given.patience, tls)
        if given.exit_with_stdin:
            threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
        server.run([listener])


def _cpus() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _end_with_stdin(server: QuietServer) -> None:
    # Not through `sys.stdin`, whose lock the interpreter wants at its end.
    while os.read(0, 4096):
        pass
    server.stop()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())

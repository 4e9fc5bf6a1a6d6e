"""Which runtimes work here; `python -m …agent.runtimes NAME` tries one."""

import os
import subprocess
import sys

from paretune.evaluators.runtimes.runtime import GROUP
from paretune.plugins import find_plugins, load_plugin

_SECONDS = 120


def installed_runtimes() -> tuple[str, ...]:
    """Names of the runtimes that can be set up here.

    Each is tried in a process of its own, so that the agent stays small.

    Raises:
        UserError: two packages use the same name.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    tries = {
        name: subprocess.Popen(
            (sys.executable, "-P", "-m", __name__, name),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        for name in find_plugins(GROUP)
    }
    return tuple(name for name, process in tries.items() if _succeeds(process))


def _succeeds(process: subprocess.Popen[bytes]) -> bool:
    try:
        return process.wait(_SECONDS) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False


if __name__ == "__main__":
    load_plugin(GROUP, sys.argv[1]).create(1, {})

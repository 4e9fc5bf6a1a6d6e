"""Other processes that take a CPU away: `python -m experiments.benchmarks.disturbance CPU`.

With `--bursts` it starts and stops at random: for some 20 ms it wants the CPU, for some 100 not.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

BUSY_SECONDS = 0.02
IDLE_SECONDS = 0.1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("cpu", type=int)
    parser.add_argument("--bursts", action="store_true")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.cpu})
    draw = random.Random(0)
    data = bytearray(1 << 20)
    parent = os.getppid()
    while os.getppid() == parent:
        end = time.monotonic() + draw.expovariate(1 / BUSY_SECONDS)
        while time.monotonic() < end:
            # Touches its data, as real work does.
            data = data.translate(None)
        if arguments.bursts:
            time.sleep(draw.expovariate(1 / IDLE_SECONDS))


@contextmanager
def disturbing(cpu: int, *, bursts: bool) -> Iterator[None]:
    """One such process on this CPU."""
    command = [sys.executable, "-m", "experiments.benchmarks.disturbance", str(cpu)]
    process = subprocess.Popen([*command, "--bursts"] if bursts else command)
    try:
        yield
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()

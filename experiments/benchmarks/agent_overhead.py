"""The agent adds nothing to the figure: one model, measured here and through an agent on loopback.

Both devices run the same jobs on the same CPU, in turn, so that whatever else the machine does
meets both alike. `difference` is that of the medians over all jobs of a device, relative to the one
without an agent; the target is 0.02.

Run: python -m experiments.benchmarks.agent_overhead
"""

import json
import logging
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from experiments.benchmarks.residual import latency_job, residual, size_for
from paretune.evaluators.devices.connecting import connect
from paretune.evaluators.devices.device import DeviceSpec

SECONDS = 2e-3
REPEATS = 15


def main() -> None:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name, _agent(Path(name) / "agent") as there:
        medians = _medians(Path(name), {"here": DeviceSpec(), "agent": there})
    middle = {place: statistics.median(found) for place, found in medians.items()}
    for place, found in medians.items():
        print(
            f"{place:6} {1e3 * middle[place]:.4f} ms, median of {len(found)} measurements"
            f" ({1e3 * min(found):.4f} to {1e3 * max(found):.4f})"
        )
    difference = abs(middle["agent"] / middle["here"] - 1)
    print(json.dumps({"difference": round(difference, 4)}))


def _medians(folder: Path, places: dict[str, DeviceSpec]) -> dict[str, list[float]]:
    """Median latency in seconds of every measurement at a place."""
    size = size_for(SECONDS, folder)
    reference = residual(folder / "reference.onnx", size)
    candidate = folder / "candidate.onnx"
    shutil.copy(reference, candidate)
    job = latency_job(folder, reference, candidate, size)
    devices = {place: connect(spec) for place, spec in places.items()}
    medians: dict[str, list[float]] = {place: [] for place in places}
    try:
        for device in devices.values():
            # Starts its process, which loads the reference.
            device.run(job)
        for turn in range(REPEATS):
            # Each comes first as often as the other.
            for place in list(devices)[:: 1 if turn % 2 else -1]:
                figures = devices[place].run(job).figures
                medians[place].append(figures["latency"].value)
    finally:
        for device in devices.values():
            device.close()
    return medians


@contextmanager
def _agent(folder: Path) -> Iterator[DeviceSpec]:
    """An agent on loopback, and how to connect to it."""
    token = secrets.token_urlsafe(32)
    command = [sys.executable, "-m", "paretune", "device", "serve", "--folder", str(folder)]
    with subprocess.Popen(
        [*command, "--port", "0", "--token-file", "-", "--exit-with-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        print(token, file=process.stdin, flush=True)
        url = json.loads(process.stdout.readline())["url"]
        yield DeviceSpec("loopback", "http", {"url": url, "token": token})


if __name__ == "__main__":
    main()

"""What a latency measurement costs: wall time at the default target, loading included.

A model of about 0.2 ms and one of about 15 ms are measured against themselves (the slowest case:
the reference could not be slower), through the measuring process of this host, already started.

Run: python -m experiments.benchmarks.measure_cost
"""

import json
import logging
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from experiments.benchmarks.residual import latency_job, residual, size_for
from paretune.evaluators.devices.local import LocalDevice
from paretune.evaluators.measuring.result import Result

MODELS = {"s_fast_model": 0.2e-3, "s_slow_model": 15e-3}
REPEATS = 7


def main() -> None:
    logging.disable(logging.WARNING)
    figures = {}
    for name, seconds in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            walls, result = _walls(Path(folder), seconds)
        figures[name] = round(statistics.median(walls), 3)
        latency, ratio = result.figures["latency"], result.figures["ratio"]
        print(
            f"{1e3 * latency.value:7.3f} ms: median {figures[name]:.3f} s, most {max(walls):.3f} s;"
            f" the last one: {result.samples['count']} pairs,"
            f" ratio {ratio.value:.4f} ± {ratio.relative_half_width:.2%},"
            f" {', '.join(result.flags) or 'no flags'}"
        )
    print(json.dumps(figures))


def _walls(folder: Path, seconds: float) -> tuple[list[float], Result]:
    """Wall seconds of every measurement, and the last one's result."""
    size = size_for(seconds, folder)
    reference = residual(folder / "reference.onnx", size)
    candidate = Path(shutil.copy(reference, folder / "candidate.onnx"))
    job = latency_job(folder, reference, candidate, size)
    device = LocalDevice()
    try:
        # Starts the process, which loads the reference.
        result = device.run(job)
        walls = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            result = device.run(job)
            walls.append(time.perf_counter() - start)
    finally:
        device.close()
    return walls, result


if __name__ == "__main__":
    main()

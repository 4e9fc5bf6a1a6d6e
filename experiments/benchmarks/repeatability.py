"""Is a model measured twice the same model? Its ratio to the fp32 one, 20 times over.

A ResNet-8 of about 1.5 ms and its int8 version, first on the machine as it is, then with a process
that is busy on another CPU all the time, and one that starts and stops at random on the very CPU
that is measured on. Beside Paretune's protocol, in turn with it and on the same CPU: the mean of 20
runs after 10 warm-ups, as is usual. The figure is (max - min) / median of the 20 ratios. Somebody
else's work on the same physical core is no quiet machine: while a measurement says that it was
disturbed, the quiet series takes both again, and tells how often.

Run: python -m experiments.benchmarks.repeatability [--picture FILE.png]
"""

import argparse
import json
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from experiments.benchmarks.disturbance import disturbing
from experiments.benchmarks.residual import latency_job, quantized, residual, size_for
from paretune.evaluators.arrays import load_arrays
from paretune.evaluators.devices.local import LocalDevice
from paretune.evaluators.measuring.job import INPUTS, MODEL, REFERENCE, Job
from paretune.evaluators.measuring.result import Estimate, Result
from paretune.evaluators.runtimes.onnxruntime import OnnxRuntimePlugin

REPEATS = 20
SECONDS = 1.5e-3
WARM_UPS, RUNS = 10, 20


@dataclass(frozen=True)
class Series:
    """Ratios of the same model.

    Attributes:
        ours: by Paretune's protocol.
        means: of 20 runs.
        flagged: how many measurements said that they were disturbed.
    """

    ours: list[Estimate]
    means: list[float]
    flagged: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, help="PNG file to write")
    picture = parser.parse_args().picture
    logging.disable(logging.WARNING)
    cpus = sorted(os.sched_getaffinity(0))
    # Where the measuring process pins itself if it is not told.
    measured, other = cpus[-1], cpus[0]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        job = _job(Path(folder))
        device = LocalDevice()
        stack.callback(device.close)
        peers = stack.enter_context(
            ProcessPoolExecutor(1, get_context("spawn"), os.sched_setaffinity, (0, {measured}))
        )
        series = {"quiet": _series(job, device, peers, quiet=True)}
        stack.enter_context(disturbing(other, bursts=False))
        stack.enter_context(disturbing(measured, bursts=True))
        series["disturbed"] = _series(job, device, peers, quiet=False)
    spreads = {
        **{name: _spread([x.value for x in s.ours]) for name, s in series.items()},
        **{f"mean_of_20_{name}": _spread(s.means) for name, s in series.items()},
    }
    for name, one in series.items():
        widths = statistics.median(x.relative_half_width for x in one.ours)
        print(
            f"{name:10} ratio {statistics.median(x.value for x in one.ours):.4f}"
            f" ± {widths:.2%}, spread {spreads[name]:.2%}, {one.flagged} flagged;"
            f" mean of 20: {statistics.median(one.means):.4f},"
            f" spread {spreads[f'mean_of_20_{name}']:.2%}"
        )
    if picture:
        draw(series, picture)
    print(json.dumps({name: round(value, 4) for name, value in spreads.items()}))


def mean_ratio(job: Job) -> float:
    """The usual way: warm up, run 20 times, divide the means."""
    runtime = OnnxRuntimePlugin.create(1, {})
    feeds = load_arrays(Path(job.files[INPUTS]))
    means = []
    for role in (MODEL, REFERENCE):
        run = runtime.load(Path(job.files[role])).bind(feeds)
        for _ in range(WARM_UPS):
            run()
        start = time.perf_counter()
        for _ in range(RUNS):
            run()
        means.append(time.perf_counter() - start)
    return means[0] / means[1]


def draw(series: dict[str, Series], path: Path) -> None:
    """Dots: every repeat by both protocols, relative to the median of its own."""
    figure, axes = plt.subplots(1, len(series), figsize=(8, 3.6), sharey=True, layout="constrained")
    for axis, (name, one) in zip(axes, series.items(), strict=True):
        values = [estimate.value for estimate in one.ours]
        for ratios, label, colour in (
            (one.means, "mean of 20 runs", "tab:orange"),
            (values, "paretune", "tab:blue"),
        ):
            relative = 100 * (np.array(ratios) / statistics.median(ratios) - 1)
            spread = f"{label}: {_spread(ratios):.1%}"
            axis.plot(range(1, REPEATS + 1), relative, "o", color=colour, label=spread, ms=4)
        axis.axhline(0, color="grey", lw=0.5, zorder=0)
        axis.set_title(name)
        axis.set_xlabel("repeat")
        axis.set_xticks(range(0, REPEATS + 1, 5))
        axis.legend(
            title="(max − min) / median",
            fontsize=8,
            title_fontsize=8,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.2),
            ncols=2,
            frameon=False,
        )
    axes[0].set_ylabel("ratio to fp32, % off its median")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _job(folder: Path) -> Job:
    size = size_for(SECONDS, folder)
    reference = residual(folder / "reference.onnx", size)
    candidate = quantized(reference, folder / "candidate.onnx", size)
    return latency_job(folder, reference, candidate, size)


def _series(job: Job, device: LocalDevice, peers: ProcessPoolExecutor, *, quiet: bool) -> Series:
    results: list[Result] = []
    means: list[float] = []
    flagged = again = 0
    while len(results) < REPEATS:
        result = device.run(job)
        mean = peers.submit(mean_ratio, job).result()
        disturbed = "disturbed" in result.flags
        flagged += disturbed
        if quiet and disturbed and again < REPEATS:
            # The machine was not quiet then. The mean that was taken beside goes as well.
            again += 1
            continue
        results.append(result)
        means.append(mean)
    return Series([result.figures["ratio"] for result in results], means, flagged)


def _spread(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / statistics.median(values)


if __name__ == "__main__":
    main()

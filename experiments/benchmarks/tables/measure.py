"""Measures every policy of a real model's space: the truth that samplers are compared against.

Every policy is built and measured twice, at different times: once with the even samples of the
search split, once with the odd ones, each time with a latency measurement of its own. So what one
half observes is independent of what the other half says, moods of the host included. All that is
shuffled, so that no mood falls on one setting of a knob. What is disturbed, also by what only shows
in a slower fp32 model, is measured again at the end. A run that is killed goes on where it was; the
last one writes NAME.parquet.

Run: python -m experiments.benchmarks.tables.measure digits|fashion_resnet [--seconds N]
"""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.tables.campaign import CAMPAIGNS, METRICS, Campaign
from experiments.benchmarks.tables.part import PartFile, Row, Task, best_rows, waiting
from experiments.benchmarks.tables.table import FOLDER, Table, joined
from paretune.evaluators import EvaluatorSuite, SplitName
from paretune.search.backends import Prepared
from paretune.search.clues import find_clues
from paretune.search.environment import environment
from paretune.search.interrupt import Interrupt
from paretune.search.preparing import compress_choices
from paretune.search.unseen import all_policies
from paretune.search.workbench import prepare
from paretune.spaces import Policy, Space

PARTS = Path("runs/tables")
ATTEMPTS = 8
HALVES: tuple[SplitName, ...] = ("search", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CAMPAIGNS)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after that time")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    campaign, end = CAMPAIGNS[given.name], time.monotonic() + given.seconds
    folder = PARTS / given.name
    laboratory = campaign.laboratory(folder)
    prepared, space = prepare(laboratory.config, laboratory.splits)
    policies = list(all_policies(space))
    clues = find_clues(space, compress_choices(prepared, space))
    about = _about(campaign, prepared, space)
    part = PartFile(folder / "part.jsonl")
    try:
        rows = part.open(about)
    except ValueError as error:
        sys.exit(f"error: {error}")
    shuffled = np.random.default_rng(0).permutation(len(HALVES) * len(policies))
    tasks = [divmod(int(number), len(HALVES)) for number in shuffled]
    with (
        laboratory.suite(prepared, (*METRICS, "latency_ms")) as suite,
        Interrupt(lambda: print("\nends after this policy", file=sys.stderr)) as interrupt,
    ):
        while queue := waiting(tasks, rows, ATTEMPTS):
            for done, task in enumerate(queue):
                if interrupt.requested or time.monotonic() > end:
                    sys.exit(f"\n{len(queue) - done} measurements are left: run it again")
                row = _measure(task, policies, prepared, suite, folder / "candidate.onnx")
                part.append(row)
                rows.append(row)
                _progress(row, len(queue) - done - 1)
    indices = [_indices(space, policy) for policy in policies]
    path = FOLDER / f"{given.name}.parquet"
    frame = joined(space.knobs, indices, best_rows(rows))
    how = " ".join(__doc__.split("\n\n")[1].split())
    Table(space.knobs, campaign.objectives, frame, {**about, "how": how, "clues": clues}).write(
        path
    )
    print(f"\n{len(frame)} policies, {path.stat().st_size / 1e3:.0f} kB: {path.name}")


def _indices(space: Space, policy: Policy) -> list[int]:
    settings = space.encode(policy)
    return [knob.options.index(settings[knob.name]) for knob in space.knobs]


def _measure(
    task: Task, policies: Sequence[Policy], prepared: Prepared, suite: EvaluatorSuite, path: Path
) -> Row:
    policy, half = task
    artifact = prepared.apply(policies[policy], path)
    found, _ = suite.measure(artifact, HALVES[half])
    ratio = found["latency_ratio"]
    return {
        "policy": policy,
        "half": half,
        "disturbed": bool(ratio.flags),
        "reference_ms": found["latency_ms"].value / ratio.value,
        "latency_ratio_low": ratio.low,
        "latency_ratio_high": ratio.high,
        **{name: found[name].value for name in METRICS},
    }


def _about(campaign: Campaign, prepared: Prepared, space: Space) -> dict[str, Any]:
    """What rows must have in common to be in one table, and what a reader wants to know."""
    where = environment()
    return {
        "experiment": campaign.experiment,
        "model_sha256": prepared.reference.sha256,
        "knobs": {knob.name: list(knob.options) for knob in space.knobs},
        "latency_max_seconds": campaign.max_seconds,
        "cpu": where["cpu"],
        "packages": where["packages"],
    }


def _progress(row: Row, left: int) -> None:
    print(
        f"\r{left:6} left, latest: accuracy {row['accuracy']:.4f},"
        f" latency ratio {row['latency_ratio']:.3f}"
        f"{' (disturbed)' if row['disturbed'] else '':12}",
        end="",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    main()

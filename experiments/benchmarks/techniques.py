"""Whole models at uniform policies: accuracy with the naive rules, with the solvers, and fp32.

Every layer that can have a choice gets it. Removed channels are chosen by the summed share of the
outputs and simply left out under the naive rule; chosen by output error, with their readers
re-fitted, otherwise.

Run: python -m experiments.benchmarks.techniques [EXPERIMENT ...]
"""

import argparse
import json
import logging
import tempfile
from pathlib import Path

from experiments.benchmarks.laboratory import Laboratory, everywhere, measured
from experiments.benchmarks.setting import EXPERIMENTS
from paretune.errors import Infeasible
from paretune.evaluators import SplitName
from paretune.search.backends.onnx import OnnxPrepared
from paretune.spaces import Choice, Policy, Precision, build_space

UNIFORM = (
    "int8",
    "w4",
    "w3",
    "w2",
    "ternary",
    "palette4",
    "palette2",
    "fp32+unstructured:0.5",
    "fp32+2:4",
    "w4+2:4",
    "fp32+rank:0.5",
    "fp32+channel:0.25",
    "fp32+channel:0.5",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS, metavar="EXPERIMENT")
    parser.add_argument("--split", choices=("search", "test"), default="test")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    table: dict[str, dict[str, list[float | None]]] = {}
    for name in given.experiments:
        with tempfile.TemporaryDirectory() as folder:
            table[name] = _grade(Laboratory.of(name, Path(folder)), given.split)
    print(json.dumps(table))


def _grade(laboratory: Laboratory, split: SplitName) -> dict[str, list[float | None]]:
    """Quality under the naive rule and with the solvers, by choice."""
    naive, best = laboratory.prepare(solver="naive"), laboratory.prepare()
    found: dict[str, list[float | None]] = {}
    with laboratory.suite(best) as suite:

        def quality(prepared: OnnxPrepared, text: str) -> float | None:
            path = laboratory.folder / "candidate.onnx"
            try:
                artifact = prepared.apply(policy_of(prepared, text), path)
            except Infeasible as reason:
                print(f"  {text}: {reason}")
                return None
            return measured(suite, path, artifact.policy, split)[laboratory.quality]

        exact = quality(best, "fp32")
        print(f"{laboratory.config.name}: {laboratory.quality} {exact:.4f} in fp32")
        print(f"  {'uniform':24}{'naive':>9}{'solved':>9}")
        for text in UNIFORM:
            found[text] = [quality(naive, text), quality(best, text)]
            texts = ["-" if value is None else f"{value:.4f}" for value in found[text]]
            print(f"  {text:24}{texts[0]:>9}{texts[1]:>9}", flush=True)
    return {"fp32": [exact, exact], **found}


def policy_of(prepared: OnnxPrepared, text: str) -> Policy:
    """One choice on every layer, or every group of channels, that can have it."""
    choice = Choice.parse(text)
    if "channel" not in text:
        return everywhere(prepared, choice)
    space = build_space(
        prepared.layers, prepared.groups, prepared.capabilities, [], [choice.sparsity]
    )
    _, _, amount = text.partition(":")
    return space.uniform(Precision.FP32, float(amount))


if __name__ == "__main__":
    main()

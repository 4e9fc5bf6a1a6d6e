"""Samples turned into figures."""

import json
from dataclasses import replace

import numpy as np
import pytest

from paretune.evaluators.measuring.compact import decode
from paretune.evaluators.measuring.result import Result
from paretune.evaluators.measuring.samples import Block, Pair, Plan, Samples
from paretune.evaluators.measuring.summary import summarize


def samples(pairs: int = 41, disturbed: int = 0) -> Samples:
    rng = np.random.default_rng(0)

    def block(seconds: float) -> Block:
        return Block(tuple(seconds * np.exp(0.01 * rng.standard_normal(3))))

    def pair(i: int) -> Pair:
        slow = 5 if i < disturbed else 1
        return Pair(block(2e-3), block(1e-3 * slow), disturbed=i < disturbed)

    return Samples(
        pairs=tuple(map(pair, range(pairs))),
        warm_up=(pair(pairs), pair(pairs)),
        warm=True,
        converged=True,
        reference_plan=Plan(5, 1, 1),
        candidate_plan=Plan(5, 3, 2),
        retaken=2,
        interference={"preempted": 2 + disturbed},
        surroundings=(),
    )


def test_the_figures() -> None:
    given = samples()
    figures = summarize(given).figures
    runs = [time for pair in given.pairs for time in pair.candidate.times]
    assert figures["latency"].value == np.median(runs)
    assert figures["p90"].value == pytest.approx(np.quantile(runs, 0.9))
    assert figures["p99"].value == pytest.approx(np.quantile(runs, 0.99))
    assert figures["reference_latency"].value == pytest.approx(2e-3, rel=0.01)
    assert figures["ratio"].value == np.median([pair.ratio for pair in given.pairs])
    assert figures["ratio"].low < 0.5 < figures["ratio"].high


def test_disturbed_pairs_are_recorded_but_do_not_count() -> None:
    summary = summarize(samples(disturbed=10))
    assert summary.figures["p99"].value < 1.1e-3
    assert summary.samples["disturbed"] == pytest.approx(10 / 41)
    assert summary.samples["disturbed_pairs"] == list(range(10))
    assert max(decode(summary.samples["blocks"]["candidate"])) > 4e-3
    assert summary.flags == ()


def test_where_most_pairs_are_disturbed_all_count_and_it_is_flagged() -> None:
    summary = summarize(samples(disturbed=30))
    assert summary.figures["latency"].value > 4e-3
    assert summary.flags == ("disturbed",)


def test_flags() -> None:
    assert summarize(samples()).flags == ()
    doubtful = replace(samples(), warm=False, converged=False, surroundings=("load",))
    assert summarize(doubtful).flags == ("disturbed", "cold")


def test_the_record_is_json_and_holds_the_raw_samples() -> None:
    given = samples()
    summary = summarize(given)
    record = json.loads(json.dumps(summary.samples))
    assert Result.from_dict(json.loads(json.dumps(Result(**vars(summary)).to_dict())))
    assert record["count"] == 41
    assert record["retaken"] == 2
    assert record["runs_per_block"] == {"reference": 1, "candidate": 6}
    assert record["min"] <= record["p10"] <= record["p50"] <= record["p90"] <= record["p99"]
    for side in ("reference", "candidate"):
        blocks = [getattr(pair, side).seconds for pair in given.pairs]
        assert decode(record["blocks"][side]) == pytest.approx(blocks, rel=1e-4)
        assert len(decode(record["warm_up"][side])) == 2
    assert len(json.dumps(record)) < 1500

"""Samplers are compared by trials that count once, against truths that are what they should be."""

from itertools import product
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import pandas as pd
import pytest
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from experiments.benchmarks import sampler_runs
from experiments.benchmarks.generated import Generated, Recipe
from experiments.benchmarks.oracle import oracle
from experiments.benchmarks.replay import (
    Problem,
    TableReplay,
    problem,
    reference_point,
    signs,
    start,
)
from experiments.benchmarks.replayed_search import Trace, trace
from experiments.benchmarks.sampler_runs import Task
from experiments.benchmarks.sampler_summary import needed, ratios, summarize
from experiments.benchmarks.samplers_plot import curve, draw
from experiments.benchmarks.tables.table import FIGURES, HALVES, Table
from paretune.search.seeds import seed_policies
from paretune.spaces import ChannelGroup, Dense, Layer, Precision, Space
from paretune.spaces.space import Knob

KNOBS = (
    Knob("precision/a", ("fp32", "int8")),
    Knob("channels/a", ("0", "0.5")),
    Knob("precision/b", ("fp32", "int8", "w4")),
)


def table(seed: int = 0) -> Table:
    rng = np.random.default_rng(seed)
    indices = list(product(*(range(len(knob.options)) for knob in KNOBS)))
    columns: dict[str, Any] = {
        knob.name: [row[i] for row in indices] for i, knob in enumerate(KNOBS)
    }
    columns["size_bytes"] = rng.integers(100, 200, len(indices))
    for figure, half in product(FIGURES, HALVES):
        columns[f"{figure}_{half}"] = rng.random(len(indices))
    return Table(
        KNOBS, ("accuracy", "latency_ratio", "size_bytes"), pd.DataFrame(columns), {"clues": {}}
    )


class Stubborn(BaseSampler):
    """Proposes one and the same policy for ever, and counts how often it is asked."""

    def __init__(self, params: dict[str, int]) -> None:
        self.params = params
        self.asked = 0

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: object
    ) -> int:
        self.asked += param_name == KNOBS[0].name
        return self.params[param_name]


@pytest.mark.parametrize("observed", [0, 1])
def test_a_table_shows_one_half_and_is_judged_by_the_other(observed: int) -> None:
    measured = table()
    replay = TableReplay(measured, observed)
    assert replay.directions == ("maximize", "minimize", "minimize")
    rows = measured.rows.set_index([knob.name for knob in KNOBS])
    here, other = ("a", "b") if observed == 0 else ("b", "a")
    for indices, row in rows.iterrows():
        assert isinstance(indices, tuple)
        accuracy = (row["accuracy_a"] + row["accuracy_b"]) / 2
        true = [accuracy, row[f"latency_ratio_{other}"], row["size_bytes"]]
        seen = [row[f"accuracy_{here}"], row[f"latency_ratio_{here}"], row["size_bytes"]]
        assert replay.truth(indices).tolist() == pytest.approx(true)
        assert replay.observe(indices, np.random.default_rng(0)).tolist() == pytest.approx(seen)


def test_the_front_of_a_table_is_what_nothing_seen_dominates() -> None:
    replay, rng = TableReplay(table(1), 0), np.random.default_rng(0)
    rows = list(product(range(2), range(2), range(3)))
    seen = [replay.observe(row, rng) * signs(replay) for row in rows]
    front = [
        (replay.truth(row) * signs(replay)).tolist()
        for row, cost in zip(rows, seen, strict=True)
        if not any(np.all(o <= cost) and np.any(o < cost) for o in seen)
    ]
    assert sorted((replay.front * signs(replay)).tolist()) == sorted(front)


def test_the_first_policies_are_those_of_a_search() -> None:
    offered = {"a": ("fp32", "int8", "w2"), "b": ("fp32", "w4"), "c": ("int8",), "d": ("fp32",)}
    space = Space(
        layers=tuple(Layer(name, "Conv", (8, 8, 3, 3), 576, None) for name in offered),
        groups=(ChannelGroup("a", ("a", "b"), 8), ChannelGroup("c", ("c",), 8)),
        precisions={name: tuple(map(Precision, texts)) for name, texts in offered.items()},
        sparsities={name: (Dense(),) for name in offered},
        channels={"a": (0.125, 0.25, 0.5), "c": (0.375, 0.75)},
        grain=1,
    )
    expected = [space.encode(policy) for policy in seed_policies(space)]
    found = [
        {knob.name: knob.options[i] for knob, i in zip(space.knobs, row, strict=True)}
        for row in start(space.knobs)
    ]
    assert len(found) > 5
    assert found == expected


def test_repeats_are_no_trials_and_end_in_policies_that_are_new() -> None:
    replay = TableReplay(table(), 0)
    first = len(start(KNOBS))
    sampler = Stubborn({"precision/a": 1, "channels/a": 1, "precision/b": 2})
    found = trace(replay, sampler, seed=0, trials=100)
    assert len(found.share) == 12, "every policy once, however many trials are asked for"
    assert found.finished
    assert found.share[-1] == pytest.approx(1)
    # The first time it was new; then fifty repeats for each of the others.
    assert sampler.asked == 1 + 50 * (12 - first - 1)


def test_shares_are_those_of_brute_force() -> None:
    space = Generated(Recipe(4, precisions=3, pruned=2), 0)
    seen: list[tuple[int, ...]] = []

    class Recorded:
        """The same problem, taking down what is measured."""

        knobs, directions, front, truth = space.knobs, space.directions, space.front, space.truth
        clues = space.clues

        def observe(self, indices: Any, rng: np.random.Generator) -> Any:
            seen.append(tuple(indices))
            return space.observe(indices, rng)

    recorded: Problem = Recorded()
    found = trace(recorded, RandomSampler(seed=1), seed=5, trials=60)
    assert len(seen) == len(set(seen)) == len(found.share) == 60
    true = np.array([space.truth(row) for row in seen]) * signs(space)
    observed = np.array(
        [space.observe(row, np.random.default_rng([5, *row])) * signs(space) for row in seen]
    )
    reference = true[: len(start(space.knobs))].max(axis=0)
    assert reference_point(space).tolist() == reference.tolist()
    whole = moocore.hypervolume(space.front * signs(space), ref=reference)
    for n in (1, 7, 30, 60):
        kept = moocore.is_nondominated(observed[:n])
        shown = moocore.hypervolume(true[:n][kept], ref=reference) / whole
        best = moocore.hypervolume(true[:n], ref=reference) / whole
        assert found.share[n - 1] == pytest.approx(shown)
        assert found.found[n - 1] == pytest.approx(best)
    assert (np.diff(found.found) >= 0).all()
    assert (found.share <= found.found + 1e-12).all()


def test_a_sampler_that_is_too_slow_is_stopped() -> None:
    found = trace(TableReplay(table(), 0), RandomSampler(seed=0), 0, trials=12, limit=0.0)
    assert not found.finished
    assert len(found.share) == len(start(KNOBS))


def steps(*shares: float, finished: bool = True) -> Trace:
    values = np.array(shares)
    return Trace(values, values, np.arange(1.0, len(shares) + 1), finished)


def test_medians_count_runs_that_did_not_arrive() -> None:
    traces = {
        "guided": [steps(0.5, 0.95), steps(0.99), steps(0.92, 0.96, 1.0)],
        "tpe": [steps(0.1, 0.2, 0.9), steps(0.1, 0.9), steps(0.3, finished=False)],
        "gp": [steps(0.1), steps(0.1), steps(0.95)],
    }
    assert needed(traces["guided"][0], 0.95) == 2
    assert needed(traces["guided"][0], 0.99) == np.inf
    summary = summarize(traces)
    assert [summary["guided"][f"trials_{n}"] for n in (90, 95, 99)] == [1, 2, 3]
    assert [summary["tpe"][f"trials_{n}"] for n in (90, 95, 99)] == [3, None, None]
    assert summary["gp"]["trials_90"] is None
    assert summary["tpe"]["finished"] == pytest.approx(2 / 3, abs=1e-4)
    # No other came to 95% in the 10 trials that it was given, so the ratio is at most 2/10.
    assert ratios(summary, 10) == {"trials_90": 0.3333, "trials_95": 0.2, "trials_99": 0.3}


def test_runs_are_kept_and_taken_again_only_if_they_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler_runs, "FOLDER", tmp_path)
    task = Task("generated20", "random", seed=3, trials=15, limit=60)
    assert task.kept() is None
    made = task.run()
    again = task.kept()
    assert again is not None
    assert again.share == pytest.approx(made.share)
    assert again.finished
    assert Task("generated20", "random", seed=3, trials=16, limit=60).kept() is None


def test_seeds_are_other_spaces_and_unknown_ones_are_named() -> None:
    one, other = (problem("generated20", seed) for seed in (0, 1))
    assert one.truth([1] * 20).tolist() != other.truth([1] * 20).tolist()
    with pytest.raises(ValueError, match=r"unknown space 'generated21': allowed are .*generated20"):
        problem("generated21", 0)


def test_the_plot_ends_where_half_of_the_runs_have(tmp_path: Path) -> None:
    runs = [steps(*np.linspace(0.1, 0.9, n)) for n in (10, 20, 40)]
    places, (low, middle, high) = curve([r.seconds for r in runs], [r.share for r in runs], 2)
    assert places[0] == pytest.approx(2)
    assert places[-1] == pytest.approx(20)
    # There the first run stands since its end, the second ends, the third has come half way.
    half_way = runs[2].share[19]
    assert middle[-1] == pytest.approx(0.9)
    assert low[-1] == pytest.approx((half_way + 0.9) / 2)
    assert high[-1] == pytest.approx(0.9)
    assert middle[0] == pytest.approx(runs[1].share[1])
    draw({"somewhere": {"guided": runs, "tpe": runs}}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["digits", "fashion_resnet"])
def test_an_oracle_takes_the_best_policy_next(name: str) -> None:
    for seed in (0, 1):
        given = problem(name, seed)
        sign, reference = signs(given), reference_point(given)

        def volume(points: list[Any], reference: Any = reference) -> float:
            return float(moocore.hypervolume(np.array(points), ref=reference))

        whole = volume(list(given.front * sign))
        taken = [given.truth(indices) * sign for indices in start(given.knobs)]
        shares = oracle(given).share
        for share in shares[len(taken) :]:
            best = max(given.front * sign, key=lambda point: volume([*taken, point]))
            taken.append(best)
            assert share == pytest.approx(volume(taken) / whole)
        assert shares[-1] > 0.99

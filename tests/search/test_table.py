"""Tables: every figure in its cell, and nothing lost on the way to a file."""

import errno
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from paretune.evaluators import Measurement, Metric
from paretune.search import text
from paretune.search.certainty import Relation, relations
from paretune.search.front import front
from paretune.search.landmark import landmarks, uniform
from paretune.search.outputs import write_outputs
from paretune.search.table import front_table, to_json, trials_table
from paretune.search.terminal import print_front
from paretune.search.trial import Trial, TrialStatus
from paretune.search.turnover import turnover
from paretune.spaces import Choice, Policy, Precision
from tests.search.synthetic import ACCURACY, DROP, LATENCY, SIZE, make_info, make_trials

INFO = make_info()
TRIALS = make_trials(40)
MEMBERS = front(TRIALS, INFO.objectives)


def test_front_table_holds_every_figure() -> None:
    table = front_table(INFO, TRIALS)
    assert list(table["trial"]) == [member.number for member in MEMBERS]
    for (_, row), member in zip(table.iterrows(), MEMBERS, strict=True):
        for metric in INFO.metrics:
            found = member.confirmed[metric.name]
            assert row[metric.name] == found.value
            assert row[f"test_{metric.name}"] == member.test[metric.name].value
            if found.low is None:
                assert pd.isna(row[f"{metric.name}_low"])
            else:
                assert (row[f"{metric.name}_low"], row[f"{metric.name}_high"]) == (
                    found.low,
                    found.high,
                )
        base = TRIALS[0].figures["latency_ms"].value
        assert row["latency_ratio"] == member.figures["latency_ms"].value / base
        assert row["confirmed"]
        assert Policy.from_json(row["policy"]) == member.policy
    assert list(table.columns)[-1] == "policy"


def slow_int8(trials: list[Trial]) -> list[Trial]:
    """The trials with a uniform int8 that takes twice as long as it did."""
    found = trials[1].confirmed["latency_ms"]
    slow = replace(found, value=2 * found.value, low=1.95 * found.value, high=2.05 * found.value)
    changed = replace(trials[1], confirmed={**trials[1].confirmed, "latency_ms": slow})
    return [trials[0], changed, *trials[2:]]


def untested(trials: list[Trial]) -> list[Trial]:
    """Those of `make_trials` have no intervals on the test split, so nothing ties there."""
    return [replace(trial, test={}) for trial in trials]


def test_front_table_tells_how_members_stand() -> None:
    trials = untested(slow_int8(make_trials(150)))
    members = front(trials, INFO.objectives)
    table = front_table(INFO, trials).set_index("trial")
    found = relations(members, [*trials[:2], *members], INFO.objectives)
    for member, (fp32, int8, *others) in zip(members, found, strict=True):
        row = table.loc[member.number]
        for column, relation, mark in (("vs_fp32", fp32, 0), ("vs_uniform_int8", int8, 1)):
            if member.number == mark:
                assert pd.isna(row[column])
            else:
                assert row[column] == relation
        ties = [
            other.number
            for other, how in zip(members, others, strict=True)
            if how is Relation.TIE and other is not member
        ]
        assert json.loads(str(row["ties"])) == sorted(ties)
    assert set(table["vs_uniform_int8"]) == {"better", "trade-off"}
    assert set(table["ties"]) > {"[]"}
    rows = json.loads(to_json(front_table(INFO, trials)))
    assert any(row["ties"] and isinstance(row["ties"], list) for row in rows)
    # What is not there cannot be compared with.
    alone = front_table(INFO, trials[2:])
    assert alone[["vs_fp32", "vs_uniform_int8"]].isna().all(axis=None)


def test_printed_front_tells_how_members_stand() -> None:
    trials = untested(slow_int8(make_trials(150)))
    out = printed(trials)
    assert all(words in out for words in ("vs fp32", "vs int8", "ties with", "trade-off"))
    assert "better: an objective better beyond its noise" in out
    assert str(turnover(INFO, trials)) in " ".join(out.split())
    # A column without content would only take room.
    assert "ties with" not in printed(TRIALS)


def test_a_measured_ratio_is_not_computed_again() -> None:
    ratio = Metric("latency_ratio", "", "minimize", "")
    info = make_info(metrics=(ACCURACY, LATENCY, ratio, SIZE))
    trials = [
        replace(t, confirmed={}, measurements={**t.measurements, "latency_ratio": Measurement(7.0)})
        for t in TRIALS
        if t.status is TrialStatus.COMPLETE
    ]
    table = front_table(info, trials)
    assert set(table["latency_ratio"]) == {7.0}
    assert not table["confirmed"].any()
    assert "size_ratio" in table


def test_trials_table_has_every_trial() -> None:
    table = trials_table(INFO, list(reversed(TRIALS)))
    assert list(table["trial"]) == list(range(len(TRIALS)))
    assert list(table["status"]) == [t.status.value for t in TRIALS]
    assert "infeasible" in set(table["status"])
    assert set(table.loc[table["on_front"], "trial"]) == {m.number for m in MEMBERS}
    broken = table.set_index("trial").loc[
        [t.number for t in TRIALS if t.status is not TrialStatus.COMPLETE]
    ]
    assert (broken["reason"] == "block size does not fit").all()
    assert broken["accuracy"].isna().all()
    assert json.loads(table["seconds_by_part"][0]) == dict(TRIALS[0].seconds)
    assert table["seconds"][0] == pytest.approx(0.72)


def test_empty_tables_keep_their_columns() -> None:
    for table, full in (
        (front_table(INFO, []), front_table(INFO, TRIALS)),
        (trials_table(INFO, []), trials_table(INFO, TRIALS)),
    ):
        assert len(table) == 0
        assert list(table.columns) == list(full.columns)


def test_written_tables_read_back(tmp_path: Path) -> None:
    write_outputs(INFO, TRIALS, tmp_path)
    expected = front_table(INFO, TRIALS)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "front.parquet"), expected)
    csv = pd.read_csv(tmp_path / "front.csv")
    # CSV cannot tell an empty column's type.
    pd.testing.assert_frame_equal(csv, expected, check_dtype=False)
    trials = pd.read_parquet(tmp_path / "trials.parquet")
    assert list(trials["artifact_sha256"]) == [t.artifact_sha256 for t in TRIALS]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_json_keeps_every_digit() -> None:
    [first, *_] = json.loads(to_json(front_table(INFO, TRIALS)))
    assert first["accuracy"] == MEMBERS[0].figures["accuracy"].value
    assert first["size_bytes_low"] is None
    assert first["confirmed"] is True
    assert Policy.from_json(json.dumps(first["policy"])) == MEMBERS[0].policy
    assert len(json.loads(to_json(trials_table(INFO, TRIALS)))) == len(TRIALS)
    assert json.loads(to_json(front_table(INFO, []))) == []


def test_a_failing_writer_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_outputs(INFO, TRIALS[:5], tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(_: object, __: object, path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr("paretune.search.outputs.OUTPUTS", {"front.html": fail})
    with pytest.raises(OSError, match="disk full"):
        write_outputs(INFO, TRIALS, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def printed(trials: list, width: int = 200) -> str:  # type: ignore[type-arg]
    console = Console(width=width, record=True, file=None, quiet=False)
    with console.capture() as capture:
        print_front(INFO, trials, console)
    return capture.get()


def test_printed_front_shows_intervals_units_and_landmarks() -> None:
    dominated = [t for t in TRIALS if t.number not in {m.number for m in MEMBERS} or t.number > 1]
    out = printed(dominated + TRIALS[:2])
    assert "latency (ms)" in out
    assert "size (kB)" in out
    assert "0.9820 ±0.0040" in out
    assert "uniform int8" in out
    assert "measured again" in out
    assert "*" in printed([replace(t, confirmed={}, test={}) for t in TRIALS])


def test_printed_front_shows_landmarks_below_when_dominated() -> None:
    best = TRIALS[0]
    better = {
        name: replace(m, value=m.value * (1.01 if name == "accuracy" else 0.4), low=None, high=None)
        for name, m in best.measurements.items()
    }
    winner = replace(
        best,
        number=99,
        measurements=better,
        confirmed={},
        policy=Policy.of({n: Choice.parse("fp16") for n, _ in best.policy}),
    )
    lines = printed([*TRIALS[:2], winner]).splitlines()
    rows = [line.split()[0] for line in lines if line.startswith("  ") and " ±" in line]
    assert rows == ["0", "1"]
    assert any(line.split()[:1] == ["99*"] for line in lines)


def test_printed_front_without_members() -> None:
    assert "no front" in printed([])


def flagged(trial: Trial, metric: str, *flags: str) -> Trial:
    """The trial with flags on its figures of this metric."""

    def with_flags(measured: Mapping[str, Measurement]) -> dict[str, Measurement]:
        return {n: replace(m, flags=flags) if n == metric else m for n, m in measured.items()}

    return replace(
        trial,
        measurements=with_flags(trial.measurements),
        confirmed=with_flags(trial.confirmed),
        test=with_flags(trial.test),
    )


def test_doubtful_figures_are_marked_and_explained() -> None:
    member = MEMBERS[1]
    doubtful = flagged(member, "latency_ms", "disturbed", "odd")
    trials = [doubtful if t.number == member.number else t for t in TRIALS]
    out = printed(trials)
    [row] = [line for line in out.splitlines() if line.split()[:1] == [str(member.number)]]
    assert text.figure(member.confirmed["latency_ms"], text.Scale(1.0, "ms")) + " ~" in row
    assert out.count("~") == 2
    assert "~ doubtful: disturbed (something else used the machine meanwhile), odd." in out
    assert "~" not in printed(TRIALS)


def test_flags_are_a_column(tmp_path: Path) -> None:
    member, other = MEMBERS[1], TRIALS[-1]
    replaced = {
        member.number: flagged(member, "latency_ms", "disturbed", "cold"),
        other.number: flagged(other, "size_bytes", "odd"),
    }
    trials = [replaced.get(t.number, t) for t in TRIALS]
    said = "latency_ms: disturbed, cold; test_latency_ms: disturbed, cold"
    table = front_table(INFO, trials).set_index("trial")
    assert table["flags"][member.number] == said
    assert table["flags"].drop(member.number).isna().all()
    assert trials_table(INFO, trials).set_index("trial")["flags"][other.number] == "size_bytes: odd"
    rows = {row["trial"]: row for row in json.loads(to_json(front_table(INFO, trials)))}
    assert rows[member.number]["flags"] == said
    assert rows[MEMBERS[0].number]["flags"] is None
    write_outputs(INFO, trials, tmp_path)
    expected = front_table(INFO, trials)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "front.parquet"), expected)
    csv = pd.read_csv(tmp_path / "front.csv").set_index("trial")
    assert csv["flags"][member.number] == said


def test_raw_samples_are_in_no_table(tmp_path: Path) -> None:
    long = "raw-samples-" * 1000
    trials = [
        replace(
            t,
            measurements={n: replace(m, samples={"raw": long}) for n, m in t.measurements.items()},
            confirmed={n: replace(m, samples={"blocks": long}) for n, m in t.confirmed.items()},
        )
        for t in TRIALS
    ]
    assert "raw-samples" not in printed(trials)
    for path in write_outputs(INFO, trials, tmp_path):
        assert b"raw-samples" not in path.read_bytes()


def test_landmarks_are_the_uniform_policies() -> None:
    assert {name: t.number for name, t in landmarks(TRIALS).items()} == {
        "fp32": 0,
        "uniform int8": 1,
    }
    assert landmarks(TRIALS[2:]) == {}
    assert uniform(TRIALS, Precision.INT8_DYNAMIC) is None


def test_uniform_counts_layers_that_cannot_be_int8() -> None:
    def only(choices: list[str], number: int) -> object:
        policy = Policy.of({f"l{i}": Choice.parse(c) for i, c in enumerate(choices)})
        return replace(TRIALS[0], number=number, policy=policy)

    trials = [
        only(["fp32", "fp32", "fp32"], 0),
        only(["int8", "fp32", "fp32"], 1),
        only(["int8", "int8", "fp32"], 2),
        only(["int8", "int8+2:4", "fp32"], 3),
    ]
    found = uniform(trials, Precision.INT8)  # type: ignore[arg-type]
    assert found is not None
    assert found.number == 2


@pytest.mark.parametrize(
    ("value", "uncertainty", "shown"),
    [
        (0.98123, 0.0041, "0.9812"),
        (12.3456, 1.5, "12.3"),
        (1234.5, 120.0, "1234"),
        (3.0, None, "3"),
        (0.00012345, None, "0.0001234"),
        (0.0, 0.002, "0.0000"),
    ],
)
def test_numbers_have_the_digits_they_deserve(
    value: float, uncertainty: float | None, shown: str
) -> None:
    assert text.number(value, uncertainty) == shown


def test_labels_and_scales() -> None:
    assert text.label(LATENCY) == "latency (ms)"
    assert text.label(DROP) == "accuracy drop"
    assert text.label(replace(LATENCY, name="latency_ms@pi")) == "latency@pi (ms)"
    assert text.scale(SIZE, [2.5e6, 10.0]) == text.Scale(1e6, "MB")
    assert text.scale(LATENCY, [2.5e6]) == text.Scale(1.0, "ms")
    assert text.figure(Measurement(2.0, 1.9, 2.3), text.Scale(1.0, "ms")) == "2.00 ±0.30"


def test_summary_counts_choices() -> None:
    spelled = ["int8", "int8", "fp32", "int8+channel:0.25"]
    policy = Policy.of({f"l{i}": Choice.parse(c) for i, c in enumerate(spelled)})
    assert text.summary(policy) == "3 int8, 1 fp32; 1 loses 25% channels"

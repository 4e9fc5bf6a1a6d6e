"""Measuring a table goes on after a kill; what is written is what was measured."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from experiments.benchmarks.tables.campaign import halved
from experiments.benchmarks.tables.part import PartFile, best_rows, judged, waiting
from experiments.benchmarks.tables.table import Table, joined
from paretune.evaluators import Splits, from_arrays
from paretune.spaces.space import Knob

ABOUT = {"experiment": "none", "options": ["a", "b"]}
TASKS = [(0, 0), (1, 1), (1, 0), (0, 1)]
KNOBS = (Knob("precision/a", ("fp32", "int8")), Knob("channels/a", ("0", "0.5", "0.75")))


def row(
    policy: int,
    half: int,
    *,
    disturbed: bool = False,
    latency: float = 1.0,
    reference_ms: float = 0.5,
) -> dict[str, Any]:
    return {
        "reference_ms": reference_ms,
        "policy": policy,
        "half": half,
        "disturbed": disturbed,
        "accuracy": 0.5 + 0.01 * policy + 0.1 * half,
        "divergence": 0.25,
        "size_bytes": 100.0 + policy,
        "latency_ratio": latency,
        "latency_ratio_low": latency - 0.1,
        "latency_ratio_high": latency + 0.1,
    }


@contextmanager
def opened(path: Path) -> Iterator[tuple[PartFile, list[Any]]]:
    with closing(PartFile(path)) as part:
        yield part, list(part.open(ABOUT))


def test_a_kill_in_the_middle_of_a_line_costs_that_line(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "deep" / "part.jsonl"
    with opened(first) as (part, rows):
        assert rows == []
        part.append(row(0, 0))
        whole = first.stat().st_size
        part.append(row(1, 1))
    every = first.read_bytes()
    second.parent.mkdir()
    for end in range(whole, len(every)):
        second.write_bytes(every[:end])
        with opened(second) as (part, rows):
            assert rows == [row(0, 0)]
            assert waiting(TASKS, rows, attempts=3) == TASKS[1:]
            part.append(row(1, 1))
        with opened(second) as (_, rows):
            assert rows == [row(0, 0), row(1, 1)]


def test_a_kill_in_the_first_line_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    path.write_text('{"experi')
    with opened(path) as (part, rows):
        assert rows == []
        part.append(row(0, 1))
    with opened(path) as (_, rows):
        assert rows == [row(0, 1)]


def test_another_space_is_refused_by_what_differs(tmp_path: Path) -> None:
    with opened(tmp_path / "part.jsonl"):
        pass
    other = {**ABOUT, "options": ["a"]}
    with pytest.raises(ValueError, match=r"options was \['a', 'b'\], is \['a'\].*move it away"):
        PartFile(tmp_path / "part.jsonl").open(other)


def test_two_processes_do_not_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "part.jsonl"
    with opened(path), pytest.raises(ValueError, match="another process is measuring"):
        PartFile(path).open(ABOUT)


def test_what_was_disturbed_is_measured_again_at_the_end() -> None:
    rows: list[Any] = [row(0, 0, disturbed=True), row(1, 1)]
    assert waiting(TASKS, rows, attempts=3) == [(1, 0), (0, 1)]
    rows += [row(1, 0), row(0, 1, disturbed=True)]
    assert waiting(TASKS, rows, attempts=3) == [(0, 0), (0, 1)]
    rows += [row(0, 0, latency=2.0), row(0, 1, disturbed=True, reference_ms=0.49, latency=3.0)]
    assert waiting(TASKS, rows, attempts=3) == [(0, 1)]
    assert waiting(TASKS, rows, attempts=2) == []
    best = best_rows([*rows, row(0, 0, disturbed=True, reference_ms=0.49, latency=4.0)])
    assert best[0, 0]["latency_ratio"] == 2.0, "one that is disturbed does not replace it"
    assert best[0, 1]["latency_ratio"] == 3.0, "the least bad of those that are all disturbed"


def test_a_slow_reference_tells_of_what_nobody_has_seen() -> None:
    rows = [row(i, 0, reference_ms=0.5 + 0.0005 * i) for i in range(40)]
    rows += [row(40, 0, reference_ms=0.56, latency=9.0)]
    found = judged(rows)
    assert [one["policy"] for one in found if one["disturbed"]] == [40]
    assert not rows[40]["disturbed"], "what was measured stays as it was"
    rows += [row(40, 0, reference_ms=0.51, latency=8.0)]
    assert best_rows(rows)[40, 0]["latency_ratio"] == 8.0
    assert not best_rows(rows)[40, 0]["disturbed"]
    assert judged([]) == []


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    indices = [(i, j) for i in range(2) for j in range(3)]
    measured = {(p, h): row(p, h, latency=1 + p + h / 2) for p in range(6) for h in range(2)}
    table = Table(KNOBS, ("accuracy", "latency_ratio"), joined(KNOBS, indices, measured), ABOUT)
    path = tmp_path / "table.parquet"
    table.write(path)
    read = Table.read(path)
    assert read.knobs == KNOBS
    assert read.objectives == table.objectives
    assert read.about == ABOUT
    assert read.indices.tolist() == [list(settings) for settings in indices]
    for policy in range(6):
        found = read.rows.iloc[policy]
        assert found["size_bytes"] == 100 + policy
        assert found["accuracy_a"] == pytest.approx(0.5 + 0.01 * policy)
        assert found["accuracy_b"] == pytest.approx(0.6 + 0.01 * policy)
        assert found["latency_ratio_low_b"] == pytest.approx(1.4 + policy)
    assert [file.name for file in tmp_path.iterdir()] == ["table.parquet"]


def test_a_file_that_is_no_table_or_newer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table = Table(KNOBS, (), joined(KNOBS, [(0, 0)], {(0, 0): row(0, 0), (0, 1): row(0, 1)}), {})
    table.write(path)
    arrow = pq.read_table(path)
    (key, text), *_ = arrow.schema.metadata.items()
    newer = json.dumps({**json.loads(text), "version": 99}).encode()
    pq.write_table(arrow.replace_schema_metadata({key: newer}), path)
    with pytest.raises(ValueError, match="version 99"):
        Table.read(path)
    pq.write_table(arrow.replace_schema_metadata(None), path)
    with pytest.raises(ValueError, match="no table"):
        Table.read(path)


def test_halves_are_disjoint_and_together_the_split() -> None:
    samples = np.arange(7.0)[:, None]
    batches = from_arrays({"x": samples}, np.arange(7), batch_size=3)
    halves = halved(Splits(batches, batches, []))
    first, second = (
        np.concatenate([batch.inputs["x"] for batch in half]).ravel().tolist()
        for half in (halves.search, halves.test)
    )
    assert first == [0, 2, 4, 6]
    assert second == [1, 3, 5]
    targets = [batch.targets for batch in halves.search if batch.targets is not None]
    assert np.concatenate(targets).tolist() == [0, 2, 4, 6]

"""Spellings, policies and journals: a value that reads back equal, or a message."""

import tempfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from paretune.durations import parse_duration
from paretune.errors import Infeasible, UserError
from paretune.search.backends.onnx import OnnxPrepared
from paretune.search.budget import parse_budget
from paretune.search.cluster.address import ClusterSpec
from paretune.search.constraint import Constraint
from paretune.search.journal import JOURNAL
from paretune.search.storage_url import StorageUrl
from paretune.search.store import StudyStore
from paretune.search.table import front_table, to_json, trials_table
from paretune.search.terminal import print_front
from paretune.search.view import view
from paretune.sizes import parse_size
from paretune.spaces import Choice, Policy, parse_precision, parse_sparsity
from tests.fuzz.journals import journal, mutated_journal
from tests.fuzz.mutating import mutated_bytes, randoms
from tests.search.backends.onnx.running import outputs
from tests.search.backends.onnx.zoo import data_of, prepare
from tests.spaces.strategies import choices, policies

Parse = Callable[[str], Any]
SPELLED: dict[str, tuple[Parse, list[str]]] = {
    "precision": (parse_precision, ["fp32", "int8-dynamic", "palette4", "w3"]),
    "sparsity": (parse_sparsity, ["dense", "2:4", "channel:0.25", "unstructured:1e-3", "drop"]),
    "choice": (Choice.parse, ["int8", "fp32+2:4", "w4+channel:0.5"]),
    "constraint": (Constraint.parse, ["accuracy_drop <= 0.02", "size_bytes@pi >= 123456789"]),
    "cluster": (ClusterSpec.parse, ["local", "local:4", "tcp://host:8786", "tls://[::1]:1"]),
}
READ: dict[str, tuple[Parse, list[str]]] = {
    "storage": (StorageUrl.parse, ["postgresql://me:pw@host:5432/db?sslmode=require"]),
    "budget": (parse_budget, ["8h", "500", "8h,500", "1d2h3m4.5s"]),
    "duration": (parse_duration, ["8h", "90m", "1h30m", "45s"]),
    "size": (parse_size, ["4GiB", "500 MB", "1024", "1.5kib"]),
}
PIECES = ["9" * 400, "9" * 5000, "1e999", "0.9999999", "nan", "inf", "-", "+", ":", "@", "[", "é"]
PIECES += ["١", "\0", "\n", " ", ".", "%", "://", "/", "#", "e", "_", "x" * 3000, "\u2028", "&"]


def spellings(known: list[str]) -> st.SearchStrategy[str]:
    """Real ones, mutated."""
    pieces = [piece.encode() for piece in PIECES]
    return st.builds(
        lambda text, rng: mutated_bytes(text.encode(), rng, pieces).decode(errors="replace"),
        st.sampled_from(known),
        randoms,
    ) | st.text(max_size=8)


@pytest.mark.parametrize("kind", SPELLED)
@given(data=st.data())
def test_spellings_read_back(kind: str, data: st.DataObject) -> None:
    parse, known = SPELLED[kind]
    check_spelling(parse, data.draw(spellings(known)))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("sparsity", "unstructured:0.9999999"),
        ("sparsity", "channel:0.12345678"),
        ("sparsity", "9" * 5000 + ":1"),
        ("constraint", "size_bytes <= 123456789"),
        ("constraint", "accuracy <= 1e999"),
        ("cluster", "local:" + "9" * 5000),
    ],
)
def test_spellings_that_did_not(kind: str, text: str) -> None:
    check_spelling(SPELLED[kind][0], text)


def check_spelling(parse: Parse, text: str) -> None:
    try:
        value = parse(text)
    except UserError as error:
        assert str(error)
        return
    assert parse(str(value)) == value


@pytest.mark.parametrize("kind", READ)
@given(data=st.data())
def test_spellings_are_read(kind: str, data: st.DataObject) -> None:
    parse, known = READ[kind]
    check_read(parse, data.draw(spellings(known)))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("budget", "9" * 5000),
        ("budget", "9" * 400 + "h"),
        ("size", "9" * 400 + "GiB"),
        ("size", "9" * 5000),
    ],
)
def test_spellings_that_were_not(kind: str, text: str) -> None:
    check_read(READ[kind][0], text)


def check_read(parse: Parse, text: str) -> None:
    try:
        assert parse(text)
    except UserError as error:
        assert str(error)


def check_policy(text: str) -> None:
    try:
        policy = Policy.from_json(text)
    except UserError as error:
        assert str(error)
        return
    assert Policy.from_json(policy.to_json()) == policy


@example("[" * 100_000)
@example('{"_type":"paretune.policy","_version":1,"layers":{"a":"fp32+unstructured:0.9999999"}}')
@given(
    text=st.builds(
        lambda policy, rng: mutated_bytes(policy.to_json().encode(), rng).decode(errors="replace"),
        policies,
        randoms,
    )
)
def test_any_text_as_a_policy(text: str) -> None:
    check_policy(text)


def check_journal(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / JOURNAL).write_bytes(content)
        try:
            with StudyStore.open(folder) as store:
                info, trials = view(store.info, store.trials(), None)
                table = front_table(info, trials)
                to_json(table)
                table.to_csv()
                trials_table(info, trials)
                print_front(info, trials, Console(file=StringIO()))
                store.searched_trials()
                assert store.sampler_attrs().keys() >= {trial.number for trial in trials}
                assert store.hypervolume_reference is None or store.hypervolume_reference
        except UserError as error:
            assert str(error)
        assert (folder / JOURNAL).read_bytes() == content


@given(content=st.builds(mutated_journal, randoms))
def test_any_journal(content: bytes) -> None:
    check_journal(content)


def test_the_journal_itself_is_read(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(journal())
    with StudyStore.open(tmp_path) as store:
        assert len(store.trials()) == 9
        assert store.trials()[0].test
        assert store.info.constraints[1].bound == 123456789


ZOO = ("cnn", "dense", "text")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, OnnxPrepared]:
    return {name: prepare(name, tmp_path_factory.mktemp(name)) for name in ZOO}


@given(data=st.data())
def test_any_policy_of_a_model(data: st.DataObject, prepared: dict[str, OnnxPrepared]) -> None:
    name = data.draw(st.sampled_from(ZOO))
    model = prepared[name]
    layers = [layer.name for layer in model.layers]
    uniform = data.draw(choices)
    chosen = {layer: data.draw(choices | st.just(uniform)) for layer in layers}
    if data.draw(st.booleans()):
        chosen |= data.draw(st.dictionaries(st.text(max_size=4), choices, max_size=2))
    if data.draw(st.booleans()):
        chosen.pop(data.draw(st.sampled_from(layers)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidate.onnx"
        try:
            artifact = model.apply(Policy.of(chosen), path)
        except (UserError, Infeasible) as error:
            assert str(error)
            assert not list(Path(folder).iterdir())
            return
        assert dict(artifact.policy.items) == chosen
        assert outputs(path, data_of(name))
        assert [left.name for left in Path(folder).iterdir()] == [path.name]

"""Any file given as a config: a config that can be stored and read again, or a message."""

import copy
import json
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from paretune.errors import UserError
from paretune.search.api import check_cheaply
from paretune.search.config import Config, TrackingSection, load_config
from tests.fuzz.mutating import NUMBERS, mutated_bytes, randoms

EVERY_KEY = """
name: digits
model: experiments.digits:model
data: experiments.digits:data
objectives: [accuracy, latency_ratio@pi, size_bytes]
constraints: ["accuracy_drop <= 0.10", "size_bytes <= 123456789"]
metrics: [latency_ms@here, own]
space:
  precision: [int8, w4]
  sparsity: [2:4, channel:0.25, "unstructured:0.5", dense]
  layers: &layers
    "re:head": {precision: [fp32]}
    conv1: {sparsity: []}
  grain: 16
search: {sampler: tpe, trials: 300, time: 1h30m, seed: 7, racing: true, cluster: "local:2"}
evaluators:
  - {type: latency, batch: 2, target: 0.05}
  - type: accuracy
    functions: {own: {function: "experiments.ctc:exact_match", direction: maximize}}
devices:
  here: local
  pi: {url: "http://127.0.0.1:8765", threads: 2, cpus: [0, 1], runtime_options: {session: {a: 1}}}
limits: {seconds: 10m, memory: 4GiB}
backend: {type: onnx, calibration: entropy, percentile: 99.9, equalize: true}
tracking: {uri: null, experiment: other, all_trials: true}
output: runs/elsewhere
"""

TEXTS = [
    EVERY_KEY,
    *(path.read_text("utf-8") for path in sorted(Path("experiments").glob("*.yaml"))),
]

PIECES = [
    piece.encode()
    for piece in (
        *["\t", "\0", "é", "\u2028", "\ufeff", "'", '"', "[", "{", "}", "]", ": ", "- ", "? ", "#"],
        *["|\n", ">-\n", "&a ", "*a", "*layers", "<<: *layers\n", "---\n", "%YAML 9.9\n---\n"],
        *["!!int x", "!!bool x", "!!float x", "!!timestamp x", "!!binary x", "!!python/tuple [1]"],
        *["!!set {a, b}", "!!omap [a: 1]", "!!null x", "!own x", "2000-13-45", "2000-01-01"],
        *[".nan", "-.inf", "1e999", "9" * 5000, "0x1F", "0b2", "1_0", "~", "null", "yes", "no"],
        *['"\\ud800"', '"\\0"', "[" * 400, "{a: " * 400, "a: &b [*b, *b]\n", "x" * 5000, "\n", " "],
    )
]
ENCODINGS = ["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp500"]

leaves = st.one_of(
    st.sampled_from(
        [None, True, False, "", "\0", "\ud800", "é" * 300, "x" * 5000, "../..", "re:("]
    ),
    st.text(max_size=12),
    st.sampled_from([*NUMBERS, 10**30, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")]),
    st.sampled_from(["8h", "9" * 400 + "h", "1e999", "local:0", "2:4", "rank:1", "1EiB", "a@b@c"]),
    st.sampled_from(["accuracy <= 1e999", "accuracy >= -0.1234567891", f"{'9' * 5000}:1"]),
    st.sampled_from([b"bytes", {1, 2}, (), [], {}, [[]], {1: 2}, {None: {}}, {"type": "latency"}]),
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)


def check(folder: Path, config: Config) -> None:
    """What is stored with the study is read again; nothing is looked for in a network."""
    stored = json.loads(json.dumps(config.model_dump(mode="json"), allow_nan=False))
    again = Config.of(stored, config.base, "stored")
    assert again.model_dump(mode="json") == stored
    inside = not config.output.is_absolute() and ".." not in config.output.parts
    changes: dict[str, Any] = {"tracking": TrackingSection(enabled=False), "storage": None}
    check_cheaply(config.model_copy(update=changes if inside else {**changes, "output": folder}))


def check_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name).resolve()
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        path = folder / "study.yaml"
        path.write_bytes(content)
        try:
            check(folder, load_config(path))
        except UserError as error:
            assert 0 < len(str(error)) < 20_000
        left = [path.name for path in folder.rglob(".*")]
        assert not left


def check_tree(tree: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name).resolve()
        patch.chdir(folder)
        try:
            check(folder, Config.of(tree, folder, "tree"))
        except UserError as error:
            assert 0 < len(str(error)) < 20_000


LEAST = b"model: m.onnx\ndata: d:f\nobjectives: [accuracy]\n"
LAUGHS = b"a0: &a0 [x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 9)
)


@example(LEAST + b"space: " + b"[" * 2000)
@example(LEAST + b"output: 2000-13-45")
@example(LEAST + b"search: {seed: !!int x}")
@example(LEAST + b"search: {racing: !!bool x}")
@example(LEAST + b"search: {trials: %s}" % (b"9" * 5000))
@example(LEAST + b"output: !!timestamp x")
@example(LEAST + b'output: "\\0"')
@example(LEAST + b'output: "\\ud800"')
@example(LEAST + b"backend: &a {type: onnx, more: *a}")
@example(LEAST + LAUGHS + b"name: *a8")
@example(LEAST + b"backend: {type: onnx, more: .nan}")
@given(
    content=st.builds(
        lambda text, encoding, rng: mutated_bytes(text.encode(encoding, "replace"), rng, PIECES),
        st.sampled_from(TEXTS),
        st.sampled_from(ENCODINGS),
        randoms,
    )
)
def test_any_file(content: bytes) -> None:
    check_file(content)


def changed(tree: Any, rng: Random, value: Any) -> Any:
    """Some value of a tree replaced, added or removed."""
    tree = copy.deepcopy(tree)
    places: list[tuple[Any, Any]] = []
    pending = [tree]
    while pending:
        one = pending.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one))
        places += [(one, key) for key in keys]
        pending += [one[key] for key in keys if isinstance(one[key], dict | list) and one[key]]
    parent, key = rng.choice(places)
    match rng.randrange(4):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            parent[rng.choice(["", "type", "more", 1, None, "é", "x" * 2000])] = value
        case _:
            parent[key] = value
    return tree


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    tree = {"name": "study", **yaml.safe_load(draw(st.sampled_from(TEXTS)))}
    rng = draw(randoms)
    for _ in range(draw(st.integers(1, 3))):
        tree = changed(tree, rng, draw(values)) if tree else {}
    return tree


@given(tree=trees())
def test_any_values(tree: dict[str, Any]) -> None:
    check_tree(tree)

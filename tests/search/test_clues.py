"""What is known of a space before its first trial."""

from pathlib import Path

import pytest
from optuna.samplers import BaseSampler

from paretune.search.api import run_search
from paretune.search.clues import Clues, find_clues
from paretune.search.config import load_config
from paretune.search.preparing import compress_choices
from paretune.search.samplers import make_sampler
from paretune.spaces import Channel, Choice, Precision, Unstructured, build_space
from tests.search.backends.onnx.zoo import prepare
from tests.search.tiny import project, write

__all__ = ["project"]


def test_clues_of_a_real_model(tmp_path: Path) -> None:
    prepared = prepare("cnn", tmp_path)
    space = build_space(
        prepared.layers,
        prepared.groups,
        prepared.capabilities,
        [Precision.INT8, Precision.W4],
        [Unstructured(0.5), Channel(0.25), Channel(0.5)],
        grain=1,
    )
    errors = compress_choices(prepared, space)
    clues = find_clues(space, errors)
    layers = {layer.name: layer for layer in space.layers}
    groups = {group.name: group for group in space.groups}
    for knob in space.knobs:
        kind, _, name = knob.name.partition("/")
        for clue in clues.values():
            assert len(clue.get(knob.name, knob.options)) == len(knob.options)
        if kind == "precision":
            known = [errors[name][Choice(precision=Precision(text))] for text in knob.options]
            assert clues["error/mean_square"][knob.name] == known
            assert clues["error/root"][knob.name] == pytest.approx([e**0.5 for e in known])
            assert known[0] == 0 < min(known[1:])
            place = knob.options.index("int8")
            assert clues["work/int8"][knob.name][place] == layers[name].macs
            assert sum(clues["work/int8"][knob.name]) == layers[name].macs
            assert sum(clues["parameters/w4"][knob.name]) == layers[name].parameters
        if kind == "sparsity":
            assert (
                clues["error/mean_square"][knob.name][1]
                == errors[name][Choice(sparsity=Unstructured(0.5))]
            )
        if kind == "channels":
            macs = sum(layers[layer].macs or 0 for layer in groups[name].layers)
            amounts = [float(text) for text in knob.options]
            assert clues["work/channels"][knob.name] == pytest.approx([a * macs for a in amounts])
            assert set(clues["error/root"][knob.name]) == {0}
    kinds = {knob.name.partition("/")[0] for knob in space.knobs}
    assert kinds == {"precision", "sparsity", "channels"}


def test_a_choice_that_a_layer_cannot_have_counts_as_its_worst(tmp_path: Path) -> None:
    prepared = prepare("cnn", tmp_path)
    space = build_space(
        prepared.layers, [], prepared.capabilities, [Precision.INT8, Precision.W4], []
    )
    name = space.layers[0].name
    errors = {
        layer.name: {Choice(): 0.0, Choice(precision=Precision.W4): 0.25} for layer in space.layers
    }
    told = find_clues(space, errors)["error/mean_square"][f"precision/{name}"]
    assert sorted(told) == [0, 0.25, 0.25]


def test_a_search_gives_its_sampler_the_clues(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Clues] = []

    def make(name: str, seed: int, clues: Clues) -> BaseSampler:
        told.append(clues)
        return make_sampler(name, seed, clues)

    monkeypatch.setattr("paretune.search.api.make_sampler", make)
    study = run_search(load_config(write(project, search={"trials": 3, "seed": 0})))
    with study.workbench() as bench:
        errors = compress_choices(bench.prepared, bench.space)
        assert told == [find_clues(bench.space, errors)]


@pytest.mark.parametrize("name", ["guided", "nsga2", "random"])
def test_any_sampler_can_be_made_with_clues(name: str) -> None:
    make_sampler(name, 0, {"error": {"precision/a": (0.0, 1.0)}})

"""The order of channels, against brute force on what their readers lose."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paretune.search.backends.onnx import OnnxBackend, OnnxPrepared, backend, moments
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import to_matrix
from paretune.search.backends.onnx.parts import Parts
from paretune.search.backends.onnx.pruning import channel_order
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.solvers.refit import refit
from tests.search.backends.onnx.conftest import Zoo
from tests.search.backends.onnx.zoo import ZOO, data_of

NAMES = ["cnn", "mobile", "dense", "switched_off"]

Loss = Callable[[Matrix, Matrix, np.ndarray], float]


def _order(parts: Parts, group: str, *, naive: bool = False) -> list[int]:
    found: list[int] = channel_order(
        group,
        parts.channels,
        list(parts.layers.values()),
        parts.graph.constants,
        parts.statistics,
        naive=naive,
    ).tolist()
    return found


def _readers(parts: Parts, group: str) -> list[WeightedNode]:
    inputs, atoms = parts.channels.inputs, parts.channels.atoms[group]
    return [x for x in parts.layers.values() if np.isin(inputs.get(x.name, []), atoms).any()]


def _losses(parts: Parts, group: str, lost: Loss) -> list[float]:
    """Share of the readers' outputs that each channel alone takes with it, added up."""
    totals = []
    for atom in parts.channels.atoms[group].tolist():
        total = 0.0
        for layer in _readers(parts, group):
            inputs = parts.channels.inputs[layer.name]
            weights = to_matrix(layer, parts.graph.constants[layer.weight])
            stays = np.tile(inputs != atom, weights.shape[2] // len(inputs))
            total += lost(weights, parts.statistics.moment(layer.name), np.flatnonzero(stays))
        totals.append(total)
    return totals


def _after_refitting(weights: Matrix, moment: Matrix, kept: np.ndarray) -> float:
    whole = Problem(weights, moment).error(np.zeros_like(weights))
    return refit(weights, moment, None, kept).error / whole


def _uncorrelated(weights: Matrix, moment: Matrix, kept: np.ndarray) -> float:
    each = np.square(weights[0]).sum(axis=0) * np.diag(moment[0])
    return float(1 - each[kept].sum() / each.sum())


@pytest.mark.parametrize("name", NAMES)
def test_the_first_to_leave_costs_least_after_refitting(name: str, zoo: Zoo) -> None:
    parts = zoo(name)._parts
    for group in parts.channels.atoms:
        assert _readers(parts, group)
        losses = _losses(parts, group, _after_refitting)
        assert losses[_order(parts, group)[-1]] <= min(losses) * 1.001 + 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_the_naive_order_is_by_magnitude(name: str, zoo: Zoo) -> None:
    parts = zoo(name)._parts
    for group in parts.channels.atoms:
        losses = _losses(parts, group, _uncorrelated)
        assert np.all(np.diff(np.array(losses)[_order(parts, group, naive=True)]) <= 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_too_wide_layers_go_by_magnitude(
    name: str, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whose inputs' products were not kept."""
    parts = zoo(name)._parts
    monkeypatch.setattr(moments, "LIMIT_VALUES", 0)
    for group in parts.channels.atoms:
        losses = _losses(parts, group, _uncorrelated)
        assert np.all(np.diff(np.array(losses)[_order(parts, group)]) <= 1e-9)


def test_every_channel_is_in_the_order(zoo: Zoo) -> None:
    for name in ZOO:
        parts = zoo(name)._parts
        for group, atoms in parts.channels.atoms.items():
            assert sorted(_order(parts, group)) == list(range(len(atoms)))


def test_an_interrupted_preparation_orders_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ZOO["cnn"](tmp_path / "cnn.onnx")
    asked: list[str] = []

    def counting(group: str, *rest: object, naive: bool) -> object:
        asked.append(group)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return channel_order(group, *rest, naive=naive)  # type: ignore[arg-type]

    def prepare() -> OnnxPrepared:
        return OnnxBackend().prepare(model, [data_of("cnn")], tmp_path / "cache", {})

    monkeypatch.setattr(backend, "channel_order", counting)
    with pytest.raises(KeyboardInterrupt):
        prepare()
    parts = prepare()._parts
    groups = list(parts.channels.atoms)
    assert asked == [groups[0], groups[1], *groups[1:]]
    prepare()
    assert len(asked) == len(groups) + 1
    (stored,) = (tmp_path / "cache").glob("*/order.json")
    assert json.loads(stored.read_text()) == {g: _order(parts, g) for g in groups}
    for group, atoms in parts.channels.atoms.items():
        np.testing.assert_array_equal(parts.order[group], atoms[_order(parts, group)])

"""What every evaluator must do. A new one joins with one line in `PLUGINS`."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paretune.errors import UserError
from paretune.evaluators import (
    Artifact,
    EvaluationContext,
    Evaluator,
    EvaluatorOptions,
    EvaluatorPlugin,
    Measurement,
)
from paretune.plugins import find_plugins, load_plugin
from paretune.validation import parse_options
from tests.evaluators.measuring.sysfs import powered, zone

GROUP = "paretune.evaluators"

PLUGINS: dict[str, dict[str, Any]] = {
    "accuracy": {},
    "energy": {"seconds": 0.02},
    "latency": {"max_seconds": 0.02},
    "memory": {},
    "size": {},
}
"""Entry point to options that make it quick."""


@pytest.fixture(params=PLUGINS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def plugin(name: str) -> EvaluatorPlugin[Any]:
    loaded: EvaluatorPlugin[Any] = load_plugin(GROUP, name)
    return loaded


@pytest.fixture
def meter(name: str, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Options of what needs a meter: where one runs."""
    if name != "energy":
        yield {}
        return
    with powered(zone(tmp_path, "intel-rapl:0", "package-0", 0), 20):
        yield {"root": str(tmp_path)}


@pytest.fixture
def options(plugin: EvaluatorPlugin[Any], name: str, meter: dict[str, Any]) -> EvaluatorOptions:
    parsed: EvaluatorOptions = parse_options(plugin.Options, PLUGINS[name] | meter, name)
    return parsed


@pytest.fixture
def evaluator(
    plugin: EvaluatorPlugin[Any], options: EvaluatorOptions, context: EvaluationContext
) -> Iterator[Evaluator]:
    created = plugin.create(options, context)
    yield created
    created.close()


def test_no_evaluator_is_left_out() -> None:
    assert find_plugins(GROUP).keys() == PLUGINS.keys()


def test_defaults_are_enough(plugin: EvaluatorPlugin[Any]) -> None:
    assert plugin.metrics(plugin.Options())


def test_metrics_say_what_they_are(plugin: EvaluatorPlugin[Any], options: EvaluatorOptions) -> None:
    metrics = plugin.metrics(options)
    assert len({metric.name for metric in metrics}) == len(metrics)
    for metric in metrics:
        assert metric.name.isidentifier()
        assert metric.direction in ("minimize", "maximize")
        assert metric.description
        assert "\n" not in metric.description
    assert plugin.metrics(options) == metrics


def test_options_round_trip_through_json(
    plugin: EvaluatorPlugin[Any], options: EvaluatorOptions, name: str
) -> None:
    text = json.dumps(options.model_dump(mode="json"))
    assert parse_options(plugin.Options, json.loads(text), name) == options


def test_unknown_options_are_refused(plugin: EvaluatorPlugin[Any], name: str) -> None:
    with pytest.raises(
        UserError, match=f"evaluator '{name}': no_such_option: unknown key 'no_such_option'"
    ):
        parse_options(plugin.Options, {"no_such_option": 1}, f"evaluator '{name}'")


def test_measures_exactly_what_is_asked(
    plugin: EvaluatorPlugin[Any],
    options: EvaluatorOptions,
    evaluator: Evaluator,
    candidate: Artifact,
) -> None:
    metrics = plugin.metrics(options)
    for asked in (metrics, metrics[:1], metrics[-1:]):
        measured = evaluator.measure(candidate, asked, "search")
        assert measured.keys() == {metric.name for metric in asked}


def test_measurements_are_json_and_hold_their_interval(
    plugin: EvaluatorPlugin[Any],
    options: EvaluatorOptions,
    evaluator: Evaluator,
    candidate: Artifact,
) -> None:
    for measured in evaluator.measure(candidate, plugin.metrics(options), "test").values():
        assert Measurement.from_dict(json.loads(json.dumps(measured.to_dict()))) == measured
        assert (measured.low is None) == (measured.high is None)
        if measured.low is not None and measured.high is not None:
            assert measured.low <= measured.value <= measured.high


def test_measuring_leaves_the_artifact_alone(
    plugin: EvaluatorPlugin[Any],
    options: EvaluatorOptions,
    evaluator: Evaluator,
    candidate: Artifact,
) -> None:
    before = candidate.path.read_bytes()
    evaluator.measure(candidate, plugin.metrics(options), "search")
    assert candidate.path.read_bytes() == before
    # A search removes what it has measured; nothing may hold on to the file.
    copy = candidate.path.with_name("copy.onnx")
    copy.write_bytes(before)
    evaluator.measure(dataclasses.replace(candidate, path=copy), plugin.metrics(options), "search")
    copy.unlink()
    evaluator.measure(candidate, plugin.metrics(options), "search")

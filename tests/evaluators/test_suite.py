"""The evaluators of a study together."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from paretune.errors import UserError
from paretune.evaluators import (
    Artifact,
    EvaluationContext,
    EvaluatorOptions,
    EvaluatorSuite,
    Measurement,
    Metric,
    suite,
)
from paretune.evaluators.devices.device import DeviceSpec
from paretune.evaluators.evaluator import SplitName

_F = {"function": "a:b", "direction": "minimize"}
QUICK = {"type": "latency", "options": {"max_seconds": 0.02}}


def test_built_in_metrics_need_no_configuration() -> None:
    declared = EvaluatorSuite.declare([])
    assert list(declared) == [
        "accuracy",
        "accuracy_drop",
        "agreement",
        "divergence",
        "energy_mj",
        "latency_ms",
        "latency_ratio",
        "latency_p90_ms",
        "latency_p99_ms",
        "throughput",
        "load_ms",
        "first_run_ms",
        "peak_memory_bytes",
        "size_bytes",
        "download_bytes",
    ]
    assert [n for n, m in declared.items() if m.direction == "maximize"] == [
        "accuracy",
        "agreement",
        "throughput",
    ]


def test_options_add_metrics() -> None:
    functions = {"loss": {"function": "a.b:c", "direction": "minimize"}}
    declared = EvaluatorSuite.declare([{"type": "accuracy", "options": {"functions": functions}}])
    assert {"loss", "loss_drop", "latency_ms"} <= declared.keys()


def test_measures_what_is_wanted_in_that_order(
    context: EvaluationContext, candidate: Artifact
) -> None:
    wanted = ["size_bytes", "accuracy", "latency_ratio", "accuracy"]
    with EvaluatorSuite.create([QUICK], wanted, context) as evaluators:
        measured, seconds = evaluators.measure(candidate, "search")
        assert [metric.name for metric in evaluators.metrics] == list(measured)
    assert list(measured) == ["size_bytes", "accuracy", "latency_ratio"]
    assert seconds.keys() == {"latency", "accuracy", "size"}
    assert all(value > 0 for value in seconds.values())


def test_measures_no_more_than_is_asked_for(
    context: EvaluationContext, candidate: Artifact
) -> None:
    wanted = ["size_bytes", "accuracy", "agreement", "download_bytes"]
    with EvaluatorSuite.create([], wanted, context, ()) as evaluators:
        measured, seconds = evaluators.measure(candidate, "search", {"download_bytes"})
        whole, _ = evaluators.measure(candidate, "search")
    assert measured == {"download_bytes": whole["download_bytes"]}
    assert seconds.keys() == {"size"}
    assert list(whole) == wanted


def test_starts_only_what_is_needed(
    context: EvaluationContext, candidate: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paretune.evaluators.latency.plugin.LatencyPlugin.create", None)
    with EvaluatorSuite.create([QUICK], ["accuracy"], context) as evaluators:
        _, seconds = evaluators.measure(candidate, "test")
    assert seconds.keys() == {"accuracy"}


@pytest.mark.parametrize(
    ("configured", "message"),
    [
        (
            [{"type": "acuracy"}],
            "no plugin 'acuracy' .*nearest is 'accuracy'; allowed are accuracy, energy, latency",
        ),
        (
            [{"type": "size"}, {"type": "size"}],
            "'size_bytes' is measured by two evaluators, 'size'",
        ),
        (
            [{"type": "latency", "options": {"targets": 1, "batch": 0}}],
            r"'latency': batch: must be greater than or equal to 1, but got 0\n"
            r".*unknown key 'targets'; nearest is 'target'; allowed are batch, target",
        ),
        (
            [{"type": "latency", "options": {"batch": "many"}}],
            "batch: must be a whole number, but got 'many'",
        ),
        (
            [{"type": "accuracy", "options": {"functions": {"f": {"direction": "up"}}}}],
            "'functions.f.function' is missing\n.*functions.f.direction: .* but got 'up'",
        ),
        (
            [{"type": "accuracy", "options": {"functions": {"accuracy": _F}}}],
            "the name 'accuracy' is taken",
        ),
        (
            [{"type": "accuracy", "options": {"functions": {"f": {**_F, "units": "x"}}}}],
            "functions.f.units: unknown key 'units'; nearest is 'unit'",
        ),
        (
            [{"type": "accuracy", "options": {"functions": {"f": {**_F, "function": 3}}}}],
            "functions.f.function: must be 'package.module:function' or a function, but got 3$",
        ),
    ],
)
def test_mistakes_in_the_configuration(
    configured: Sequence[Mapping[str, Any]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        EvaluatorSuite.declare(configured)


def test_an_unknown_metric(context: EvaluationContext) -> None:
    with pytest.raises(
        UserError,
        match=r"unknown metric 'latency'; nearest is 'latency_ms'; allowed are accuracy, acc",
    ):
        EvaluatorSuite.create([], ["accuracy", "latency"], context)


class _Recorder:
    """A plugin that notes when its evaluators are closed."""

    Options = EvaluatorOptions

    def __init__(self, name: str, log: list[str], *, fails: bool = False) -> None:
        self._name, self._log, self._fails = name, log, fails

    def metrics(self, _options: EvaluatorOptions) -> tuple[Metric, ...]:
        return (Metric(self._name, "", "minimize", "Recorded"),)

    def create(self, _options: EvaluatorOptions, _context: EvaluationContext) -> "_Recorder":
        if self._fails:
            raise UserError(f"{self._name} does not start")
        return self

    def measure(
        self, _artifact: Artifact, metrics: Sequence[Metric], _split: SplitName
    ) -> dict[str, Measurement]:
        return {metric.name: Measurement(1) for metric in metrics}

    def close(self) -> None:
        self._log.append(self._name)
        if self._name == "sulks":
            raise OSError("will not close")


def test_closes_all_even_when_one_fails(
    context: EvaluationContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    plugins = {name: _Recorder(name, log) for name in ("first", "sulks", "last")}
    plugins["broken"] = _Recorder("broken", log, fails=True)
    monkeypatch.setattr(suite, "load_plugin", lambda _, name: plugins[name])
    monkeypatch.setattr(suite, "find_plugins", lambda _: {})
    configured = [{"type": name} for name in ("first", "sulks", "last", "broken")]
    with pytest.raises(UserError, match="broken does not start"):
        EvaluatorSuite.create(configured, ["first", "last", "broken"], context)
    assert log == ["last", "first"]
    log.clear()
    evaluators = EvaluatorSuite.create(configured[:3], ["last", "sulks", "first"], context)
    with pytest.raises(OSError, match="will not close"):
        evaluators.close()
    assert log == ["last", "sulks", "first"]


def test_what_tells_of_a_device_is_marked() -> None:
    declared = EvaluatorSuite.declare([])
    marked = {name for name, metric in declared.items() if metric.per_device}
    assert {"throughput", "latency_ms", "peak_memory_bytes", "energy_mj"} <= marked
    assert marked.isdisjoint({"accuracy", "accuracy_drop", "size_bytes"})
    two = EvaluatorSuite.declare([], (DeviceSpec("a"), DeviceSpec("b")))
    assert two["throughput@a"].per_device

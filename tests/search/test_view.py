"""A study as one of its devices sees it: its own front and its own picks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.errors import UserError
from paretune.evaluators import Measurement
from paretune.search.constraint import Constraint
from paretune.search.figures import draw_front, front_html
from paretune.search.front import front
from paretune.search.outputs import write_outputs
from paretune.search.rule import Knee, MaxDrop, Rule, Weights
from paretune.search.table import front_table, trials_table
from paretune.search.trial import Trial, TrialStatus
from paretune.search.view import all_members, devices, front_devices, fronts, view
from paretune.spaces import Choice, Policy
from tests.search.synthetic import (
    ACCURACY,
    LATENCY,
    PI,
    SERVER,
    SIZE,
    make_device_info,
    make_device_trials,
    make_info,
    make_trials,
)

INFO = make_device_info()
TRIALS = make_device_trials()
levels = st.integers(0, 6).map(float)


def numbers(trials: list[Trial]) -> list[int]:
    return [trial.number for trial in trials]


@st.composite
def studies(draw: st.DrawFn) -> list[Trial]:
    """Trials on a coarse grid of figures, so that ties are common."""
    rows = draw(st.lists(st.tuples(levels, levels, levels), min_size=1, max_size=20))
    policy = Policy.of({"layer": Choice.parse("int8")})
    trials = []
    for number, row in enumerate(rows):
        names = ("accuracy", PI.name, SERVER.name)
        figures = {name: Measurement(value) for name, value in zip(names, row, strict=True)}
        figures["size_bytes"] = Measurement(1.0)
        broken = Constraint(SERVER.name, "<=", 3.0).violation(figures) > 0
        violations = (f"{SERVER.name} <= 3",) if broken else ()
        trials.append(Trial(number, TrialStatus.COMPLETE, policy, figures, violations=violations))
    return trials


def undominated(costs: list[list[float]]) -> set[tuple[float, ...]]:
    points = {tuple(cost) for cost in costs}
    return {p for p in points if not any(q != p and all(np.less_equal(q, p)) for q in points)}


@given(studies())
def test_a_devices_front_is_that_of_its_own_figures(trials: list[Trial]) -> None:
    info = make_device_info([Constraint(SERVER.name, "<=", 3.0)])
    found = fronts(info, trials)
    assert list(found) == ["", "pi", "server"]

    def cost(trial: Trial, device: str) -> list[float]:
        names = ("accuracy", f"latency_ms@{device}")
        accuracy, latency = (trial.figures[name].value for name in names)
        return [-accuracy, latency]

    # The server's constraint is the server's alone.
    for device, candidates in (
        ("pi", trials),
        ("server", [trial for trial in trials if trial.feasible]),
    ):
        expected = undominated([cost(trial, device) for trial in candidates])
        members = found[device]
        assert {tuple(cost(member, device)) for member in members} == expected
        assert len(members) == len(expected)
        assert all(any(member is trial for trial in trials) for member in members)
    everyone = {trial.number for trial in all_members(info, trials)}
    assert everyone == {t.number for members in found.values() for t in members}


@given(studies())
def test_without_ties_and_constraints_they_are_parts_of_the_whole(trials: list[Trial]) -> None:
    distinct = [
        replace(
            trial,
            violations=(),
            measurements={
                name: Measurement(m.value + 1e-6 * trial.number)
                for name, m in trial.measurements.items()
            },
        )
        for trial in trials
    ]
    assert numbers(all_members(INFO, distinct)) == numbers(front(distinct, INFO.objectives))


def test_a_view_leaves_out_what_is_of_other_devices() -> None:
    constraints = [
        Constraint("accuracy", ">=", 0.5),
        Constraint(PI.name, "<=", 3.0),
        Constraint(SERVER.name, "<=", 0.1),
    ]
    broken = tuple(map(str, constraints[1:]))
    trials = [replace(trial, violations=broken) for trial in TRIALS]
    info, seen = view(make_device_info(constraints), trials, "pi")
    assert info.name == "synthetic on pi"
    assert info.objectives == (ACCURACY, PI)
    assert info.metrics == (ACCURACY, PI, SIZE)
    assert info.constraints == tuple(constraints[:2])
    assert {trial.violations for trial in seen} == {(str(constraints[1]),)}
    assert view(INFO, TRIALS, None) == (INFO, TRIALS)


def test_devices_are_those_with_metrics_of_their_own() -> None:
    assert devices(INFO) == front_devices(INFO) == ("pi", "server")
    assert devices(make_info()) == front_devices(make_info()) == ()
    watched = replace(INFO, objectives=(ACCURACY, PI))
    assert devices(watched) == ("pi", "server")
    assert front_devices(watched) == ("pi",)


def test_an_unknown_device_is_named_with_those_known() -> None:
    with pytest.raises(
        UserError,
        match="no device 'severe'; nearest is 'server'; the study 'synthetic' measured on pi, serv",
    ):
        view(INFO, TRIALS, "severe")
    only = replace(INFO, objectives=(SERVER,))
    with pytest.raises(UserError, match="no objective of the study .* holds for device 'pi'"):
        view(only, TRIALS, "pi")


def test_a_study_on_one_device_may_be_asked_for_it() -> None:
    info, trials = make_info(), make_trials(10)
    assert view(info, trials, "host") == (info, trials)
    with pytest.raises(UserError, match="no device 'pi'; the study .* measured on host only"):
        view(info, trials, "pi")
    named = make_info(config={"devices": {"pi": {"type": "local"}}})
    assert view(named, trials, "pi") == (named, trials)


def test_rules_pick_from_the_devices_front_by_short_names() -> None:
    whole: list[Rule] = [Knee(), Weights({"accuracy": 1.0, PI.name: 1.0})]
    short: list[Rule] = [MaxDrop(1.0, "latency_ms"), Weights({"accuracy": 1.0, "latency_ms": 1.0})]
    picked = {}
    for device in ("pi", "server"):
        info, trials = view(INFO, TRIALS, device)
        members = numbers(front(trials, info.objectives))
        for rule in (Knee(), *short):
            assert rule.choose(info, trials).number in members
        picked[device] = short[0].choose(info, trials).number
        fastest = min(
            (t for t in trials if t.measurements),
            key=lambda t: t.figures[f"latency_ms@{device}"].value,
        )
        assert picked[device] == fastest.number
        assert short[0].choose(info, trials) == MaxDrop(1.0, f"latency_ms@{device}").choose(
            info, trials
        )
    assert picked["pi"] != picked["server"]
    for rule in whole:
        assert rule.choose(INFO, TRIALS).number in numbers(front(TRIALS, INFO.objectives))
    with pytest.raises(
        UserError, match="own 'latency_ms': say latency_ms@pi or latency_ms@server, or name the"
    ):
        short[0].choose(INFO, TRIALS)
    with pytest.raises(UserError, match="unknown metric 'latency_ms@server'; the study measures"):
        MaxDrop(1.0, SERVER.name).choose(*view(INFO, TRIALS, "pi"))


def test_tables_keep_devices_apart() -> None:
    table = front_table(INFO, TRIALS)
    for device in ("pi", "server"):
        for name in ("latency_ms", "latency_ms_low", "latency_ratio", "test_latency_ms"):
            assert f"{name}@{device}" in table
    member = front(TRIALS, INFO.objectives)[0]
    assert table["latency_ms_low@pi"][0] == member.figures[PI.name].low
    base = TRIALS[0].figures[SERVER.name].value
    assert table["latency_ratio@server"][0] == member.figures[SERVER.name].value / base
    odd = [
        replace(t, confirmed={n: replace(m, flags=("odd",)) for n, m in t.confirmed.items()})
        for t in TRIALS
    ]
    own = front_table(*view(INFO, odd, "pi"))
    assert not [name for name in own if "@server" in str(name)]
    assert set(own["flags"]) == {"accuracy: odd; latency_ms@pi: odd; size_bytes: odd"}
    every = trials_table(INFO, TRIALS)
    for device in ("pi", "server"):
        on = set(every.loc[every[f"on_front@{device}"], "trial"])
        assert on == set(numbers(fronts(INFO, TRIALS)[device]))


def test_every_device_has_its_files(tmp_path: Path) -> None:
    names = {path.name for path in write_outputs(INFO, TRIALS, tmp_path)}
    for device in ("pi", "server"):
        assert {f"front-{device}.{kind}" for kind in ("html", "png", "csv")} <= names
        page = (tmp_path / f"front-{device}.html").read_text()
        assert f"synthetic on {device}: " in page
        written = pd.read_csv(tmp_path / f"front-{device}.csv")
        assert list(written["trial"]) == numbers(fronts(INFO, TRIALS)[device])
    assert len(list(tmp_path.iterdir())) == len(names)
    (tmp_path / "one").mkdir()
    single = write_outputs(make_info(), make_trials(10), tmp_path / "one")
    assert not [path for path in single if path.name.startswith("front-")]


def test_a_devices_picture_shows_its_front() -> None:
    info, trials = view(INFO, TRIALS, "server")
    [axes, *_] = draw_front(info, trials).axes
    assert axes.get_xlabel().startswith("latency@server (ms)")
    assert len(draw_front(INFO, TRIALS).axes) == 3
    assert "latency@pi" not in front_html(info, trials)
    assert LATENCY.name == PI.base

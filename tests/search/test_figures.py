"""Figures: what they show, read back from the page and from the pixels."""

import json
import re
import warnings
from dataclasses import replace
from io import BytesIO
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from numpy.typing import NDArray

from paretune.search import text
from paretune.search.figures import draw_front, draw_policies, front_html, palette
from paretune.search.figures.scene import TIED, outside, scene, staircase, window
from paretune.search.front import front
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy, Precision
from tests.search.synthetic import ACCURACY, LATENCY, SIZE, make_info, make_trials

TRIALS = make_trials(40)
TWO = make_info()
THREE = make_info((ACCURACY, LATENCY, SIZE))


def page_data(html: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Traces and layout that the page hands to plotly."""
    call = html[html.rindex("Plotly.newPlot(") :]
    decoder = json.JSONDecoder()
    traces, end = decoder.raw_decode(call[(begin := call.index("[")) :])
    rest = call[begin + end :]
    layout, _ = decoder.raw_decode(rest[rest.index("{") :])
    return traces, layout


def pixels(figure: Figure) -> NDArray[np.float64]:
    """Shape (height, width, 3), 0 to 1."""
    with BytesIO() as file:
        figure.savefig(file, format="png")
        file.seek(0)
        return np.asarray(imread(file), dtype=np.float64)[..., :3]


def share(image: NDArray[np.float64], colour: str) -> float:
    return float((np.abs(image - np.array(to_rgb(colour))).max(axis=2) < 0.02).mean())


def test_page_shows_every_measured_trial_once() -> None:
    traces, layout = page_data(front_html(TWO, TRIALS))
    by_name = {trace["name"]: trace for trace in traces}
    shown = scene(TWO, TRIALS)
    members = shown.clear
    assert by_name["front"]["x"] == [m.figures["latency_ms"].value for m in members]
    assert by_name["front"]["y"] == [m.figures["accuracy"].value for m in members]
    drawn = [n for name in ("front", TIED, "trial", "violates a constraint")
             for [n] in by_name[name]["customdata"]]  # fmt: skip
    assert sorted(drawn) == [t.number for t in TRIALS if t.status is TrialStatus.COMPLETE]
    assert by_name["fp32"]["customdata"] == [[0]]
    assert by_name["uniform int8"]["customdata"] == [[1]]
    latency = members[0].figures["latency_ms"]
    assert latency.high is not None
    assert by_name["front"]["error_x"]["array"][0] == latency.high - latency.value
    hover = by_name["front"]["text"][-1]
    assert f"trial {members[-1].number}" in hover
    assert text.summary(members[-1].policy) in hover
    assert "test" in hover
    assert "latency (ms)" in layout["xaxis"]["title"]["text"]


def test_members_that_tie_are_hollow() -> None:
    # On the test split these have no intervals, so nothing ties there.
    trials = [replace(trial, test={}) for trial in make_trials(150)]
    shown = scene(TWO, trials)
    tied = {number for number, standing in shown.standings.items() if standing.ties}
    assert tied and len(tied) < len(shown.members)
    traces, _ = page_data(front_html(TWO, trials))
    by_name = {trace["name"]: trace for trace in traces}
    hollow, solid = by_name[TIED], by_name["front"]
    assert {number for [number] in hollow["customdata"]} == tied
    assert hollow["marker"]["color"] == "white"
    assert hollow["marker"]["line"]["color"] == solid["marker"]["color"] == palette.FRONT
    assert "ties with trial" in hollow["text"][0] and "vs uniform int8" in hollow["text"][0]
    figure = draw_front(TWO, trials)
    bars = {bar.get_label(): bar for bar in figure.axes[0].containers}
    points = {name: bars[name].lines[0] for name in (TIED, "front")}  # type: ignore[attr-defined]
    assert len(points[TIED].get_xdata()) == len(tied)
    assert points[TIED].get_markerfacecolor() == "white"
    assert points["front"].get_markerfacecolor() == palette.FRONT
    labels = [label.get_text() for label in figure.legends[0].get_texts()]
    assert TIED in labels and "front" in labels


def test_page_needs_no_network() -> None:
    html = front_html(TWO, TRIALS)
    assert not re.search(r"<(script|link)[^>]+(src|href)=", html)
    assert "<title>synthetic: " in html


def test_three_objectives_have_a_menu_of_pairs() -> None:
    _, layout = page_data(front_html(THREE, TRIALS))
    buttons = layout["updatemenus"][0]["buttons"]
    assert [button["label"] for button in buttons] == [
        "accuracy against latency",
        "accuracy against size",
        "latency against size",
    ]
    data, axes = buttons[2]["args"]
    members = front(TRIALS, THREE.objectives)
    drawn = sorted(data["x"][3] + data["x"][4])
    assert drawn == sorted(m.figures["size_bytes"].value / 1e3 for m in members)
    assert axes["xaxis"]["title"]["text"].startswith("size (kB)")


def test_staircase_bounds_what_was_attained() -> None:
    shown = scene(THREE, TRIALS)
    for pair in shown.pairs:
        steps = staircase(pair, shown.members)
        xs = pair.x.values(steps) * pair.x.sign
        ys = pair.y.values(steps) * pair.y.sign
        assert (np.diff(xs) > 0).all()
        assert (np.diff(ys) < 0).all()
        every_x = pair.x.values(shown.members) * pair.x.sign
        every_y = pair.y.values(shown.members) * pair.y.sign
        for x, y in zip(every_x, every_y, strict=True):
            assert ((xs <= x) & (ys <= y)).any()


def test_far_off_trials_do_not_squeeze_the_front() -> None:
    far = replace(
        TRIALS[5],
        number=999,
        violations=(),
        measurements={
            **TRIALS[5].measurements,
            "latency_ms": replace(TRIALS[5].measurements["latency_ms"], value=1e4),
        },
    )
    shown = scene(TWO, [*TRIALS, far])
    low, high = window(shown.pairs[0].x, shown)
    values = shown.pairs[0].x.values(shown.members)
    assert low < values.min()
    assert values.max() < high < 10
    assert outside(shown.pairs[0], shown) == 1 + outside(shown.pairs[0], scene(TWO, TRIALS))
    assert "farther off" in draw_front(TWO, [*TRIALS, far]).axes[0].get_title(loc="right")


@pytest.mark.parametrize("info", [TWO, THREE])
def test_front_picture_has_front_and_landmarks(info: Any) -> None:
    image = pixels(draw_front(info, TRIALS))
    assert image.std() > 0.05
    for colour in (palette.FRONT, palette.REFERENCE, palette.UNIFORM):
        assert share(image, colour) > 1e-4
    assert share(image, "white") > 0.3


def test_front_picture_of_unusual_studies() -> None:
    alone = make_info((LATENCY,), (LATENCY,))
    for info, trials in ((TWO, []), (TWO, TRIALS[:1]), (alone, TRIALS)):
        assert pixels(draw_front(info, trials)).std() > 0.0
        assert "Plotly.newPlot" in front_html(info, trials)


def test_one_objective_is_drawn_against_another_metric() -> None:
    [pair] = scene(make_info((LATENCY,)), TRIALS).pairs
    assert (pair.x.metric, pair.y.metric) == (LATENCY, ACCURACY)


def test_policies_picture_colours_cells_by_precision() -> None:
    members = front(TRIALS, TWO.objectives)
    cells = [choice.precision for m in members for _, choice in m.policy]
    figure = draw_policies(TWO, TRIALS)
    [axes] = figure.axes
    [mesh] = axes.collections
    drawn = mesh.get_array()
    assert drawn is not None
    order = [precision for precision in palette.PRECISIONS if precision in cells]
    assert [order[code] for code in np.ravel(drawn)] == cells
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == [name for name, _ in members[0].policy]
    removed = sum(c.sparsity.__class__.__name__ != "Dense" for m in members for _, c in m.policy)
    inside = [t for t in axes.texts if re.fullmatch(r"−\d+|\d+%|\d:\d", t.get_text())]
    assert len(inside) == removed > 0
    image = pixels(figure)
    assert share(image, palette.PRECISIONS[Precision.INT8]) > 0.05


def test_sixty_layers_stay_readable() -> None:
    figure = draw_policies(TWO, make_trials(30, layers=60))
    pixels(figure)
    [axes] = figure.axes
    cell = axes.get_window_extent().width / 60
    assert cell >= 20
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))


def test_long_names_leave_room_for_the_cells() -> None:
    [only] = make_trials(1, layers=3)
    policy = Policy.of(
        {
            f"encoder.layer.{i}.attention.output.dense/MatMul": c
            for i, (_, c) in enumerate(only.policy)
        }
    )
    figure = draw_policies(TWO, [replace(only, policy=policy)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels(figure)
    [axes] = figure.axes
    assert axes.get_window_extent().height >= 20


def test_policies_picture_without_members() -> None:
    assert pixels(draw_policies(TWO, [])).std() > 0.0


def test_drawing_leaves_no_global_state() -> None:
    before = dict(mpl.rcParams)
    draw_front(TWO, TRIALS)
    draw_policies(TWO, TRIALS)
    assert dict(mpl.rcParams) == before


def test_front_numbers_do_not_overlap() -> None:
    crowded: list[Trial] = make_trials(300, seed=3)
    figure = draw_front(TWO, crowded)
    pixels(figure)
    boxes = [label.get_window_extent() for label in figure.axes[0].texts]
    assert len(boxes) > 3
    for i, one in enumerate(boxes):
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])

"""The words: sentences, the tables of the terminal, JSON, and the page."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from paretune.search.explaining import Explanation, explain, naming, words
from paretune.search.explaining.decisions import Decision
from paretune.search.explaining.effect import Effect
from paretune.search.explaining.explanation import ChoiceEffect, Interaction
from paretune.search.explaining.spelling import to_json
from paretune.search.explaining.terminal import print_explanation
from paretune.search.explaining.verdict import Verdict
from paretune.search.figures import explain_html, palette
from paretune.search.text import Scale
from paretune.search.trial import Trial
from paretune.spaces import Choice, Policy
from tests.search.explaining.planted import (
    ACCURACY,
    LATENCY,
    SIZE,
    changed,
    info,
    planted,
    trial,
)


@pytest.fixture(scope="module")
def found() -> Explanation:
    return explain(info(), planted(200))


def chosen(kind: str, options: tuple[str, ...], *layers: str) -> ChoiceEffect:
    decision = Decision(kind, layers, options)
    return ChoiceEffect(decision, options[1], 9, {}, Verdict.UNCLEAR)


def printed(found: Explanation, width: int = 150) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        print_explanation(found, console)
    return capture.get()


def test_choices_in_words() -> None:
    cases = {
        "conv2 in int8": chosen("precision", ("fp32", "int8"), "conv2"),
        "conv2 with 2:4": chosen("sparsity", ("dense", "2:4"), "conv2"),
        "a and b with 12.5% fewer channels": chosen("channels", ("0", "0.125"), "a", "b"),
        "a and 2 more dropped": chosen("block", ("keep", "drop"), "a", "b", "c"),
    }
    for expected, one in cases.items():
        assert naming.choice(one) == expected
    assert naming.compared(Decision("precision", ("a",), ("w8", "w4"))) == " instead of w8"


def test_an_interaction_in_words() -> None:
    first = chosen("precision", ("fp32", "int8"), "conv2")
    more = Effect(-0.08, -0.10, -0.06, 0.08, True)
    less = replace(more, gain=-0.08)
    twin = chosen("precision", ("fp32", "int8"), "conv3")
    thin = chosen("channels", ("0", "0.25"), "a", "b")
    plain = Scale(1.0, "ms")
    assert words.interaction(Interaction(first, twin, "latency_ms", more), LATENCY, plain) == (
        "latency (ms): conv2 in int8 is worth 0.080 ±0.020 more when conv3 is in int8 too"
    )
    assert words.interaction(Interaction(first, thin, "latency_ms", less), LATENCY, plain) == (
        "latency (ms): conv2 in int8 is worth 0.080 ±0.020 less when a and b have 25% fewer"
        " channels"
    )


def test_the_sentences_of_a_study(found: Explanation) -> None:
    assert words.protect(found)[0].startswith("conv1 in int8: accuracy -0.0")
    assert words.verdicts(found, Verdict.FREE) == ["int8: conv2, conv3, conv4, conv5"]
    assert words.interactions(found)[0].startswith("latency (ms): conv3 in int8 is worth 0.")
    assert words.interactions(found)[0].endswith("more when conv4 is in int8 too")
    assert words.headline(found).startswith("Learned from 200 measured trials.")
    assert found.averaged in words.headline(found)
    [accuracy, latency] = map(words.trust, found.doubts)
    assert accuracy.startswith("accuracy: R² 0.9")
    assert latency.startswith("latency (ms): R² 0.9")


def test_the_terminal_shows_every_choice_and_verdict(found: Explanation) -> None:
    out = printed(found)
    lines = [line for line in out.splitlines() if " ±" in line]
    rows = [line for line in lines if line.split()[-1] in ("free", "trade-off", "it", "unclear")]
    assert len(rows) >= 10
    for title in ("Protect", "Free", "Not worth it", "Interactions", "How far to trust this"):
        assert title in out


def test_large_networks_are_cut_to_the_largest_effects() -> None:
    rng = np.random.default_rng(0)
    names = [f"layer{i}" for i in range(50)]
    trials = []
    for number in range(60):
        picked = {name: ("fp32", "int8")[int(rng.integers(2))] for name in names}
        hurt = 0.3 * (picked["layer7"] == "int8")
        figures = {"accuracy": 0.9 - hurt, "latency_ms": float(list(picked.values()).count("fp32"))}
        trials.append(trial(number, picked, figures))
    out = printed(explain(info(), trials))
    assert "The 40 largest of 50; --json and --html give all." in out
    [told] = re.findall(r"layer7 in int8: accuracy (\S+) ±", out)
    assert float(told) == pytest.approx(-0.3, abs=0.002)


def test_what_cannot_be_told_is_said() -> None:
    few = explain(info(), planted(12))
    assert printed(few) == (
        "planted: too few trials to tell: 12 measured, at least 20 are needed.\n"
    )
    assert "too few trials to tell: 12 measured" in explain_html(few)
    assert json.loads(to_json(few))["untold"] == few.untold
    flat = explain(info(), [changed(t, accuracy=0.9) for t in planted(60)])
    out = printed(flat)
    assert "accuracy: cannot be predicted from the policies (R² 0.00" in out
    assert "No objective tells of the answers' quality" in out
    neither = explain(info(), [changed(t, accuracy=0.9, latency_ms=1.0) for t in planted(60)])
    assert "cannot be predicted" in printed(neither)
    assert "cannot be predicted" in explain_html(neither)


def test_layers_that_go_together_and_fixed_ones_are_named() -> None:
    trials = [with_others(t) for t in planted(60)]
    notes = words.notes(explain(info(), trials))
    assert notes == [
        "All trials treat these layers alike, so nothing is known of them: still.",
        "conv6 and 2 more, changed together: conv6, twin, triplet.",
    ]


def with_others(one: Trial) -> Trial:
    """The trial of a larger network: two layers do what conv6 does, one stays as it is."""
    items = dict(one.policy.items)
    more = {"twin": items["conv6"], "triplet": items["conv6"], "still": Choice.parse("fp32")}
    return replace(one, policy=Policy.of(items | more))


def test_json_holds_all_of_it(found: Explanation) -> None:
    data = json.loads(to_json(found))
    assert (data["_type"], data["_version"]) == ("paretune.explanation", 1)
    assert len(data["choices"]) == len(found.choices) == 12
    first = found.choices[0].effects["accuracy"]
    assert data["choices"][0]["effects"]["accuracy"] == {
        "value": first.value, "low": first.low, "high": first.high, "gain": first.gain,
        "real": first.real,
    }  # fmt: skip
    assert data["averaged_over"]["trials"] == [t.number for t in found.bases]
    assert data["protect"]["accuracy"][0]["words"] == "conv1 in int8"
    assert data["interactions"][0]["first"]["layers"] == ["conv3"]
    [accuracy, _] = data["objectives"]
    assert accuracy["r2"] == found.doubts[0].predictions.r2
    assert len(accuracy["predictions"]) == 200


class Page(HTMLParser):
    """Reads the page as a browser would: every tag is closed, scripts apart from text."""

    void = frozenset({"meta", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.scripts: list[str] = []
        self.headings: list[str] = []
        self.linked: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.linked += [pair for pair in attrs if pair[0] in ("src", "href")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            self.scripts.append(data)
        elif "style" not in self.open:
            self.text += data
            if self.open and self.open[-1] in ("h1", "h2"):
                self.headings.append(data)


def charts(page: Page) -> list[list[dict[str, Any]]]:
    """The traces of every chart."""
    decoder = json.JSONDecoder()
    found = []
    for script in page.scripts:
        if "Plotly.newPlot(" in script[:2000]:
            call = script[script.index("Plotly.newPlot(") :]
            found.append(decoder.raw_decode(call[call.index("[") :])[0])
    return found


def test_the_page_is_whole_and_needs_no_network(found: Explanation) -> None:
    page = Page(explain_html(found))
    assert not page.open
    assert not page.linked
    assert page.headings == [
        "planted: what the search learned",
        "Protect",
        "Free",
        "Not worth it",
        "Neighbours that interact",
        "What each choice changes",
        "All choices in figures",
        "How far to trust this",
        "Misjudged most",
    ]
    for line in (*words.protect(found), *words.interactions(found), words.headline(found)):
        assert line in page.text


def test_the_charts_show_every_effect_and_trial(found: Explanation) -> None:
    effects, predictions = charts(Page(explain_html(found)))
    drawn = [x for trace in effects for x in trace["x"] if x is not None]
    assert len(drawn) == 12 * 2
    exact = [e.value for c in found.choices for e in c.effects.values()]
    assert sorted(drawn) == pytest.approx(sorted(exact))
    colours = {trace["marker"]["color"] for trace in effects}
    assert colours == {palette.UNIFORM, palette.REFERENCE, palette.OTHER}
    dots = [trace for trace in predictions if trace["mode"] == "markers"]
    assert sum(len(trace["x"]) for trace in dots) == 2 * 200
    assert "trial 0" in dots[0]["text"][0]


def test_an_effect_far_out_stands_at_the_edge_with_its_value() -> None:
    def wreck(one: Trial) -> Trial:
        lost = 0.7 * (str(one.policy["conv2"]) == "w4")
        return changed(one, accuracy=one.measurements["accuracy"].value - lost)

    wrecked = [wreck(one) for one in planted(150)]
    effects, _ = charts(Page(explain_html(explain(info(), wrecked))))
    [far] = [trace for trace in effects if trace["mode"] == "markers+text"]
    assert far["text"][0].startswith("-0.7")
    assert far["marker"]["symbol"] == ["triangle-left"]


def test_names_are_escaped() -> None:
    strange = replace(info(), name="a<b>&c")
    page = Page(explain_html(explain(strange, planted(30))))
    assert page.headings[0] == "a<b>&c: what the search learned"
    assert not page.open


def test_three_objectives_have_their_own_units() -> None:
    found = explain(info(ACCURACY, LATENCY, SIZE), planted(100))
    [row] = [line for line in printed(found).splitlines() if line.split()[:2] == ["conv2", "int8"]]
    size = float(row.split()[-3])
    assert "size (kB)" in printed(found)
    assert size == pytest.approx(-75, abs=2)

"""Decisions: what policies differ in, and what cannot be told apart."""

from paretune.search.explaining.decisions import design
from paretune.spaces import (
    Channel,
    ChannelGroup,
    Choice,
    Dense,
    Drop,
    Layer,
    Policy,
    Precision,
    ResidualBlock,
    Space,
)
from tests.search.explaining.planted import planted


def policies(*rows: str) -> list[Policy]:
    """Layers a, b, ... with their choices."""
    return [
        Policy.of(dict(zip("abcd", map(Choice.parse, row.split()), strict=False))) for row in rows
    ]


def test_layers_that_always_agree_are_one_decision() -> None:
    found = design(policies("fp32 fp32 fp32", "int8 fp32 int8", "int8 int8 int8", "fp32 int8 fp32"))
    assert [(d.layers, d.options) for d in found.decisions] == [
        (("a", "c"), ("fp32", "int8")),
        (("b",), ("fp32", "int8")),
    ]
    assert found.x.tolist() == [[0, 0], [1, 0], [1, 1], [0, 1]]


def test_those_that_agree_in_other_words_say_both() -> None:
    found = design(policies("fp32 fp32", "int8 w8", "w4 w4"))
    [one] = found.decisions
    assert one.options == ("fp32", "int8 or w8", "w4")


def test_a_layer_that_never_varies_is_no_decision() -> None:
    found = design(policies("fp32 int8", "int8 int8", "fp32 int8"))
    assert [d.name for d in found.decisions] == ["precision/a"]
    assert found.fixed == ("b",)
    assert design(policies("int8", "int8")).decisions == ()


def test_the_first_option_leaves_the_layer_alone_if_any_trial_did() -> None:
    [alone] = design(policies("w4", "int8", "fp32")).decisions
    assert alone.alone
    assert alone.options == ("fp32", "int8", "w4")
    [never] = design(policies("w4", "w8")).decisions
    assert not never.alone
    assert never.options == ("w8", "w4")


def test_the_decisions_are_the_knobs_of_the_space() -> None:
    names = ("stem", "inner", "outer", "head")
    layers = tuple(Layer(name, "Conv", (16, 16, 3, 3), 2304, None) for name in names)
    precisions = dict.fromkeys(names, (Precision.FP32, Precision.INT8))
    space = Space(
        layers,
        (ChannelGroup("stem", ("stem", "outer"), 16), ChannelGroup("inner", ("inner",), 16)),
        precisions,
        {name: (Dense(),) for name in names},
        {"stem": (0.5,), "inner": (0.5,)},
        8,
        (ResidualBlock("inner", ("inner", "outer")),),
    )
    options = {knob.name: knob.options for knob in space.knobs}
    settings = [{}, *({name: values[1]} for name, values in options.items())]
    # Together, so that no two knobs look alike.
    settings += [{**a, **b} for a in settings for b in settings]
    found = design([space.decode(one) for one in settings])
    assert {d.name: d.options for d in found.decisions} == options
    layers_of = {d.name: d.layers for d in found.decisions}
    assert layers_of["channels/stem"] == ("stem", "outer")
    assert layers_of["block/inner"] == ("inner", "outer")
    # The encoding is the space's own.
    for row, one in zip(found.x, settings, strict=True):
        encoded = space.encode(space.decode(one))
        assert {d.name: d.options[i] for d, i in zip(found.decisions, row, strict=True)} == encoded


def test_what_is_gone_decides_nothing_else() -> None:
    dropped, thin = Choice(sparsity=Drop()), Choice(Precision.FP32, Channel(0.5))
    choices = (Choice(), dropped, thin, Choice(Precision.INT8), Choice.parse("fp32+2:4"))
    rows = [Policy.of({"a": choice}) for choice in choices]
    found = {d.kind: d for d in design(rows).decisions}
    assert list(found) == ["block", "precision", "sparsity", "channels"]
    assert found["block"].excludes(found["precision"])
    assert found["channels"].excludes(found["sparsity"])
    assert not found["precision"].excludes(found["channels"])
    assert design(rows).x.tolist() == [
        [0, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0],
    ]  # fmt: skip


def test_random_policies_are_told_apart() -> None:
    trials = planted(50)
    found = design([trial.policy for trial in trials])
    for trial, row in zip(trials, found.x, strict=True):
        spelled = [d.options[i] for d, i in zip(found.decisions, row, strict=True)]
        assert spelled == [str(choice) for _, choice in trial.policy]

"""Random layers, groups, spaces and policies."""

from itertools import pairwise

from hypothesis import strategies as st

from paretune.spaces import (
    NM,
    ONNXRUNTIME_CPU,
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
    Sparsity,
    Unstructured,
    build_space,
)

amounts = st.sampled_from([0.125, 0.25, 0.3, 0.5, 0.75])
sparsities: st.SearchStrategy[Sparsity] = st.one_of(
    st.just(Dense()),
    st.builds(Unstructured, amounts),
    st.builds(NM, st.just(2), st.just(4)),
    st.builds(Channel, amounts),
)
choices = st.builds(Choice, st.sampled_from(list(Precision.USUAL)), sparsities)
policies = st.dictionaries(st.text(min_size=1, max_size=8), choices, max_size=5).map(Policy.of)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to four layers; those of equal width may be tied, neighbours may be a block."""
    count = draw(st.integers(1, 4))
    widths = [draw(st.sampled_from([8, 10, 16, 32])) for _ in range(count)]
    kinds = [draw(st.sampled_from(["Conv", "Gemm"])) for _ in range(count)]
    layers = [
        Layer(f"layer{i}", kind, (width, 8, 3, 3) if kind == "Conv" else (8, width), 100, None)
        for i, (kind, width) in enumerate(zip(kinds, widths, strict=True))
    ]
    groups: list[ChannelGroup] = []
    for layer, width in zip(layers, widths, strict=True):
        if draw(st.booleans()):
            last = groups[-1] if groups else None
            if last and last.size == width and draw(st.booleans()):
                groups[-1] = ChannelGroup(last.name, (*last.layers, layer.name), width, last.unit)
            else:
                unit = draw(st.sampled_from([1, 1, 2, width // 2]))
                groups.append(ChannelGroup(layer.name, (layer.name,), width, unit))
    cuts = sorted(draw(st.sets(st.integers(0, count), max_size=4)))
    blocks = [
        ResidualBlock(layers[low].name, tuple(layer.name for layer in layers[low:high]))
        for low, high in pairwise(cuts)
    ]
    precision = draw(st.lists(st.sampled_from(list(Precision.USUAL)), max_size=2, unique=True))
    sparsity = draw(st.lists(sparsities, max_size=3, unique=True))
    sparsity += draw(st.sampled_from([[], [Drop()]]))
    return build_space(layers, groups, ONNXRUNTIME_CPU, precision, sparsity, grain=8, blocks=blocks)

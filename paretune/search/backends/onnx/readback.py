"""Reading back: what a model file really holds, whatever was asked for."""

from collections.abc import Iterable

from onnx import ModelProto

from paretune.errors import Infeasible
from paretune.search.backends.onnx.blocks import Branch
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.matrices import to_matrix
from paretune.search.backends.onnx.techniques import View, format_of, formats, zeros_of
from paretune.search.backends.onnx.techniques.rank import Parts, find_parts, read_rank
from paretune.search.backends.onnx.techniques.technique import Stored
from paretune.spaces import Channel, Choice, Dense, Drop, LowRank, Policy, Precision, Sparsity


def read_policy(
    model: ModelProto,
    layers: Iterable[WeightedNode],
    asked: Policy,
    blocks: Iterable[Branch] = (),
) -> Policy:
    """The policy that the nodes and constants of `model` bear out.

    Args:
        model: an artifact.
        layers: of the uncompressed graph.
        asked: tells which pattern of zeros to look for; anything that it asks for and the model
            does not have reads back as something else.
        blocks: of the uncompressed graph; one that the model has nothing of was dropped.

    Raises:
        Infeasible: a layer is not in the model in any known form.
    """
    view = View(model)
    absent = [b for b in blocks if not any(name in view.nodes for name in b.nodes)]
    gone = {name for branch in absent for name in branch.block.layers}
    return Policy.of(
        {
            layer.name: Choice(sparsity=Drop())
            if layer.name in gone
            else _choice(view, layer, asked[layer.name])
            for layer in layers
        }
    )


def _choice(view: View, layer: WeightedNode, asked: Choice) -> Choice:
    if parts := find_parts(view, layer):
        return _factored(view, layer, parts, asked)
    precision, stored = _stored(view, layer, asked.precision)
    channels = _channels(layer, stored)
    zeros = not isinstance(asked.sparsity, Dense | LowRank | Channel | Drop)
    if not zeros or not isinstance(channels, Dense):
        return Choice(precision, channels)
    kept = to_matrix(layer, stored.nonzero())
    holds = zeros_of(asked.sparsity).holds(layer, asked.sparsity, kept)
    return Choice(precision, asked.sparsity if holds else Dense())


def _factored(view: View, layer: WeightedNode, parts: Parts, asked: Choice) -> Choice:
    (precision, inner), (other, outer) = (_stored(view, part, asked.precision) for part in parts)
    if other != precision:
        raise Infeasible(f"{layer.name}: its factors are stored as {precision} and {other}")
    return Choice(precision, read_rank(layer, inner.shape, outer.shape, asked.sparsity))


def _stored(view: View, layer: WeightedNode, asked: Precision) -> tuple[Precision, Stored]:
    node = view.nodes.get(layer.name)
    if node is None:
        raise Infeasible(f"{layer.name}: the artifact has no such layer")
    # Most often it is what was asked for; only otherwise all have to be tried.
    stored = format_of(asked).read(view, layer, node)
    if stored is not None:
        return asked, stored
    for precision, form in formats().items():
        if (stored := form.read(view, layer, node)) is not None:
            return precision, stored
    raise Infeasible(f"{layer.name}: is a {node.op_type} in the artifact, in no known form")


def _channels(layer: WeightedNode, stored: Stored) -> Sparsity:
    before, after = layer.layer.weight_shape[layer.out_axis], stored.shape[layer.out_axis]
    # The same text as a canonical policy writes.
    amount = float(f"{1 - after / before:g}")
    return Channel(amount) if amount else Dense()

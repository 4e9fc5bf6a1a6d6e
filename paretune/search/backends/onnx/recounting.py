"""Recounting: the sizes that a graph spells out, after channels were removed."""

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto, helper

from paretune.search.backends.onnx.graph import Array, Graph


def recount(
    graph: Graph, mark: str, node: NodeProto, changes: Mapping[int, Mapping[int, int]]
) -> tuple[list[NodeProto], dict[str, Array]]:
    """Give a node vectors of its own, in which the channels that are left are counted.

    Others may read the same vectors and lose other channels, so none is changed in place.

    Args:
        graph: that the node is of.
        mark: see `Graph.mark`.
        node: a copy; its inputs are changed in place.
        changes: input of the node to entry of its vector to what is added to the number there.

    Returns:
        nodes that must come before it, and the arrays of new constants by name.
    """
    nodes: list[NodeProto] = []
    constants: dict[str, Array] = {}
    for position, entries in changes.items():
        source, target = node.input[position], f"{node.name}{mark}counts{position}"
        fixed = graph.constants.get(source)
        length = graph.shapes[source][0] if fixed is None else len(fixed)
        change = np.zeros(length, np.int64)
        for entry, number in entries.items():
            change[entry] = number
        if fixed is not None:
            constants[target] = (fixed + change).astype(fixed.dtype)
        else:
            constants[f"{target}/change"] = change
            parts = [source, f"{target}/change"]
            nodes.append(helper.make_node("Add", parts, [target], target))
        node.input[position] = target
    return nodes, constants

"""Low-bit weights: packed codes into a table of values, decoded once, when the model is loaded.

Bytes are cast to integers, cut into codes by division, and looked up. ONNX Runtime and OpenVINO
both fold exactly these operators into a float constant; OpenVINO 2026.4 computes the shorter ways
on uint8, with `BitShift` or `MatMulInteger`, at every run and wrongly.
"""

from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto

from paretune.search.backends.onnx.graph import Array
from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.packing import Packing
from paretune.search.backends.onnx.techniques.technique import Place, Stored, View, tensor


def coded_tensors(codes: Array, table: Array, name: str) -> list[TensorProto]:
    """What `coded` decodes.

    Args:
        codes: indices into the table, any shape.
        table: shape (levels,).
        name: of the bytes; the others are called `NAME/table` and so on.
    """
    packing = Packing(len(table))
    arrays: dict[str, Array] = {
        name: packing.pack(codes),
        f"{name}/power": packing.power,
        f"{name}/levels": np.array(packing.levels, np.int32),
        f"{name}/table": table.astype(np.float32),
    }
    if packing.width > 1:
        arrays[f"{name}/window"] = packing.window
    if codes.size % packing.digits:
        arrays[f"{name}/flat"] = np.array([-1])
        arrays[f"{name}/first"] = np.array([0])
        arrays[f"{name}/count"] = np.array([codes.size])
    return [tensor(array, name) for name, array in arrays.items()]


def coded(place: Place, levels: int) -> str:
    """Add nodes that look the codes up; the float values in the order of the codes, to be reshaped.

    Args:
        place: the layer; there are as many codes as its weight has elements.
        levels: of the table.
    """
    name, packing = place.weight, Packing(levels)
    wide = place.node("Cast", [name], f"{name}/bytes", to=TensorProto.INT32)
    if packing.width > 1:
        wide = place.node("MatMul", [wide, f"{name}/window"], f"{name}/windows")
    rest = place.node("Div", [wide, f"{name}/power"], f"{name}/rest")
    codes = place.node("Mod", [rest, f"{name}/levels"], f"{name}/codes")
    values = place.node("Gather", [f"{name}/table", codes], f"{name}/values")
    if int(np.prod(place.shape)) % packing.digits:
        line = place.node("Reshape", [values, f"{name}/flat"], f"{name}/line")
        limits = [f"{name}/first", f"{name}/count"]
        values = place.node("Slice", [line, *limits], f"{name}/cut")
    return values


def coded_size(count: int, levels: int) -> int:
    """Bytes of what `coded_tensors` makes of `count` codes."""
    packing = Packing(levels)
    window = packing.window.nbytes if packing.width > 1 else 0
    rest = 24 if count % packing.digits else 0
    stored = packing.words(count) * packing.width
    return stored + packing.power.nbytes + 4 + 4 * levels + window + rest


@dataclass(frozen=True)
class Coded:
    """A weight in this form, as it was found in an artifact.

    Attributes:
        table: shape (levels,).
        scaled: the values are multiplied by scales.
        stored: the weight.
    """

    table: Array
    scaled: bool
    stored: Stored


def read_coded(view: View, layer: WeightedNode, node: NodeProto) -> Coded | None:
    """How the weight of `node` is coded, or None if it is in another form."""
    if node.op_type != layer.layer.op_type:
        return None
    weight = node.input[layer.layer.op_type != "Gather"]
    behind = _upwards(view, weight, "Gather")
    kinds = [x.op_type for x in behind]
    if kinds[-3:-1] == ["Slice", "Reshape"]:
        del kinds[-3:-1]
    if kinds not in (["Reshape", "Gather"], ["Reshape", "Mul", "Reshape", "Gather"]):
        return None
    table = view.array(behind[-1].input[0])
    packing = Packing(len(table))
    chain = _upwards(view, behind[-1].input[1], "Cast")
    windows = [("MatMul", packing.window)] if packing.width > 1 else []
    expected = [("Mod", np.array(packing.levels)), ("Div", packing.power), *windows]
    if [x.op_type for x in chain] != [*(kind for kind, _ in expected), "Cast"]:
        return None
    pairs = zip(chain, expected, strict=False)
    if not all(np.array_equal(view.array(x.input[1]), array) for x, (_, array) in pairs):
        return None
    shape = tuple(view.array(behind[0].input[1]).tolist())

    def nonzero() -> Array:
        codes = packing.unpack(view.array(chain[-1].input[0]))[: int(np.prod(shape))]
        found: Array = (table != 0)[codes].reshape(shape)
        return found

    return Coded(table, "Mul" in kinds, Stored(shape, nonzero))


def _upwards(view: View, tensor: str, last: str) -> list[NodeProto]:
    """The nodes that make a tensor, along first inputs, up to one of type `last`."""
    found: list[NodeProto] = []
    while tensor in view.producers and not (found and found[-1].op_type == last):
        found.append(view.producers[tensor])
        tensor = found[-1].input[0]
    return found

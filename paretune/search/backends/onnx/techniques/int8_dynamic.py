"""`int8-dynamic`: 8-bit weights, and activations whose range is found at run time."""

from collections.abc import Mapping

from onnx import NodeProto, TensorProto

from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.solvers.grid import Grid
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.techniques.grids import channel_grid
from paretune.search.backends.onnx.techniques.per_channel import channel_size, channel_tensors
from paretune.search.backends.onnx.techniques.technique import Place, Source, Stored, View
from paretune.spaces import Support


class Int8Dynamic:
    """Symmetric weights with a scale for every output channel, multiplied with uint8."""

    supports: Mapping[str, Support] = dict.fromkeys(("Gemm", "MatMul"), Support.NATIVE)

    def grid(self, source: Source, problem: Problem) -> Grid:
        """[-127, 127] times a scale for every output channel."""
        return channel_grid(problem, None, naive=source.naive)

    def store(self, source: Source, grid: Grid | None, found: Matrix) -> list[TensorProto]:
        """int8 weights, scales and zero points."""
        return channel_tensors(source, grid, found)

    def emit(self, place: Place) -> None:
        """`MatMulInteger`, scaled: ONNX Runtime fuses exactly this form into one kernel."""
        weight = place.weight
        data, scale, zero_point = place.dynamic_data()
        stem = f"{place.layer.stem}product"
        inputs = [data, weight, zero_point, f"{weight}/zero_point"]
        place.named("MatMulInteger", inputs, f"{stem}/int32")
        wide = place.node("Cast", [f"{stem}/int32"], f"{stem}/float", to=TensorProto.FLOAT)
        both = place.node("Mul", [scale, f"{weight}/scale"], f"{stem}/scale")
        place.node("Mul", [wide, both], place.product)
        place.add_bias()

    def read(self, view: View, layer: WeightedNode, node: NodeProto) -> Stored | None:
        """`MatMulInteger` behind `DynamicQuantizeLinear`."""
        dynamic = view.made_by(node.input[0], "DynamicQuantizeLinear")
        if node.op_type != "MatMulInteger" or not dynamic:
            return None
        name = node.input[1]
        return Stored(tuple(view.tensors[name].dims), lambda: view.array(name) != 0)

    def size(self, layer: WeightedNode, shape: tuple[int, ...]) -> int:
        """A byte a weight, and a scale and a zero point for every output channel."""
        return channel_size(layer, shape)

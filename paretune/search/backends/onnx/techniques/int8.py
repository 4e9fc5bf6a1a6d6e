"""`int8`: 8-bit weights and calibrated 8-bit activations."""

from collections.abc import Mapping

from onnx import NodeProto, TensorProto

from paretune.search.backends.onnx.layers import WeightedNode
from paretune.search.backends.onnx.solvers.grid import Grid
from paretune.search.backends.onnx.solvers.problem import Matrix, Problem
from paretune.search.backends.onnx.techniques.grids import channel_grid
from paretune.search.backends.onnx.techniques.per_channel import channel_size, channel_tensors
from paretune.search.backends.onnx.techniques.technique import Place, Source, Stored, View
from paretune.spaces import Support


class Int8:
    """Symmetric weights with a scale for every output channel, between 8-bit activations."""

    supports: Mapping[str, Support] = dict.fromkeys(("Conv", "Gemm", "MatMul"), Support.NATIVE)

    def grid(self, source: Source, problem: Problem) -> Grid:
        """[-127, 127] times a scale for every output channel."""
        return channel_grid(problem, source.least_scale, naive=source.naive)

    def store(self, source: Source, grid: Grid | None, found: Matrix) -> list[TensorProto]:
        """int8 weights, scales and zero points."""
        return channel_tensors(source, grid, found)

    def emit(self, place: Place) -> None:
        """Float operators between `DequantizeLinear`, which ONNX Runtime makes integer ones."""
        data = place.int8_data()
        weight = place.weight
        parts = [weight, f"{weight}/scale", f"{weight}/zero_point"]
        wide = place.node("DequantizeLinear", parts, f"{weight}/float", axis=place.layer.out_axis)
        place.own(wide, data=data, bias=place.int32_bias())

    def read(self, view: View, layer: WeightedNode, node: NodeProto) -> Stored | None:
        """int8 behind `DequantizeLinear`, as the data are."""
        if node.op_type != layer.layer.op_type:
            return None
        chain, name = view.chain(layer, node)
        data = node.input[0]
        if chain != ["DequantizeLinear"] or not view.made_by(data, "DequantizeLinear"):
            return None
        if view.tensors[name].data_type != TensorProto.INT8:
            return None
        return Stored(tuple(view.tensors[name].dims), lambda: view.array(name) != 0)

    def size(self, layer: WeightedNode, shape: tuple[int, ...]) -> int:
        """A byte a weight, and a scale and a zero point for every output channel."""
        return channel_size(layer, shape)

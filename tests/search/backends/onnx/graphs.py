"""Clean graphs of tiny models, without a backend around them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from paretune.evaluators import Batch
from paretune.search.backends.onnx.calibration import observe
from paretune.search.backends.onnx.cleaning import clean_model, load_model, simplify_shapes
from paretune.search.backends.onnx.graph import Constants, Graph
from tests.models import save


def clean_graph(path: Path, batch: Batch) -> Graph:
    """The graph of a model file, with the shapes that two samples have."""
    model = clean_model(load_model(path))
    few = Batch({name: array[:2] for name, array in batch.inputs.items()})
    seen = observe(model, few)
    shapes = {name: array.shape for name, array in seen.items()}
    simplify_shapes(model, shapes, {n for n, array in seen.items() if array.dtype == np.float32})
    return graph_with(model, shapes)


def graph_with(model: onnx.ModelProto, shapes: Any) -> Graph:
    return Graph(model, Constants(model.graph), shapes, 2)


def save_network(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, Any],
    shape: Sequence[int],
    *,
    rank: int = 2,
    opset: int = 21,
) -> Path:
    """A model from `x` of (batch, *shape) to `y` of that rank."""
    free = ["batch", *(f"axis{axis}" for axis in range(1, rank))]
    return save(
        path,
        nodes,
        {"x": (TensorProto.FLOAT, ["batch", *shape])},
        {"y": (TensorProto.FLOAT, free)},
        weights,
        opset=opset,
    )

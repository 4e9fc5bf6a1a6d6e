"""Mutations of a model's weights, inputs and outputs."""

from random import Random

from onnx import ModelProto, StringStringEntryProto, TensorProto, helper

from tests.fuzz.mutating import NUMBERS
from tests.fuzz.onnx_parts import DIMS, NAMES, Mutation, some_name, some_tensor, some_value


def _other_dims(model: ModelProto, rng: Random) -> None:
    tensor = some_tensor(model, rng)
    if tensor.dims and rng.random() < 0.7:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(DIMS)
    elif rng.random() < 0.5:
        tensor.dims.append(rng.choice(DIMS))
    else:
        del tensor.dims[:]


def _flat_dims(model: ModelProto, rng: Random) -> None:
    """Another shape for the same values."""
    tensor = some_tensor(model, rng)
    dims = list(tensor.dims)
    rng.shuffle(dims)
    del tensor.dims[:]
    tensor.dims.extend(dims if rng.random() < 0.7 else [*dims, 1])


def _other_type(model: ModelProto, rng: Random) -> None:
    some_tensor(model, rng).data_type = rng.choice([*TensorProto.DataType.values(), 99, -1])


def _other_data(model: ModelProto, rng: Random) -> None:
    tensor = some_tensor(model, rng)
    tensor.raw_data = rng.choice(
        [b"", tensor.raw_data[:-1], tensor.raw_data * 2, b"\xff" * len(tensor.raw_data)]
    )


def _two_kinds_of_data(model: ModelProto, rng: Random) -> None:
    some_tensor(model, rng).float_data.extend([1.0, float("nan"), 1e38])


def _rename_tensor(model: ModelProto, rng: Random) -> None:
    some_tensor(model, rng).name = some_name(model, rng)


def _double_tensor(model: ModelProto, rng: Random) -> None:
    model.graph.initializer.add().CopyFrom(some_tensor(model, rng))


def _drop_tensor(model: ModelProto, rng: Random) -> None:
    if model.graph.initializer:
        del model.graph.initializer[rng.randrange(len(model.graph.initializer))]


def _external(model: ModelProto, rng: Random) -> None:
    tensor = some_tensor(model, rng)
    tensor.data_location = TensorProto.EXTERNAL
    if rng.random() < 0.5:
        tensor.ClearField("raw_data")
    places = ["../../etc/passwd", "/etc/passwd", "model.onnx", "weights.bin", ".", "", "link", "\0"]
    entries = {
        "location": rng.choice(places),
        "offset": str(rng.choice([*NUMBERS, "x"])),
        "length": str(rng.choice([*NUMBERS, "x"])),
    }
    for key, value in entries.items():
        if rng.random() < 0.8:
            tensor.external_data.append(StringStringEntryProto(key=key, value=value))


def _sparse(model: ModelProto, rng: Random) -> None:
    sparse = model.graph.sparse_initializer.add(dims=[rng.choice(DIMS)])
    sparse.values.CopyFrom(some_tensor(model, rng))
    sparse.indices.CopyFrom(helper.make_tensor("i", TensorProto.INT64, [1], [rng.choice(NUMBERS)]))


def _other_shape(model: ModelProto, rng: Random) -> None:
    shape = some_value(model, rng).type.tensor_type.shape
    if shape.dim and rng.random() < 0.7:
        shape.dim[rng.randrange(len(shape.dim))].dim_value = rng.choice(DIMS)
    else:
        shape.dim.add(dim_param=rng.choice(NAMES))


def _no_shape(model: ModelProto, rng: Random) -> None:
    some_value(model, rng).type.tensor_type.ClearField("shape")


def _other_value_type(model: ModelProto, rng: Random) -> None:
    value = some_value(model, rng)
    match rng.randrange(3):
        case 0:
            value.type.Clear()
        case 1:
            value.type.tensor_type.elem_type = rng.choice([*TensorProto.DataType.values(), 99])
        case _:
            value.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT


def _rename_value(model: ModelProto, rng: Random) -> None:
    some_value(model, rng).name = some_name(model, rng)


def _more_values(model: ModelProto, rng: Random) -> None:
    side = rng.choice([model.graph.input, model.graph.output])
    name = some_name(model, rng)
    side.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 8]))


def _fewer_values(model: ModelProto, rng: Random) -> None:
    side = rng.choice([model.graph.input, model.graph.output])
    if side:
        del side[rng.randrange(len(side))]


VALUES: list[Mutation] = [
    _other_dims,
    _flat_dims,
    _other_type,
    _other_data,
    _two_kinds_of_data,
    _rename_tensor,
    _double_tensor,
    _drop_tensor,
    _external,
    _sparse,
    _other_shape,
    _no_shape,
    _other_value_type,
    _rename_value,
    _more_values,
    _fewer_values,
    _other_dims,
]

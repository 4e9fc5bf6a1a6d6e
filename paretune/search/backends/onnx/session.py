"""Running a graph in memory, with any tensors as outputs."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import shorten

import onnxruntime as ort
from onnx import ModelProto, helper

from paretune.errors import UserError
from paretune.search.backends.onnx.graph import Array


def open_session(model: ModelProto, outputs: Sequence[str] = ()) -> ort.InferenceSession:
    """A session that returns the model's outputs and the tensors named in `outputs`, unoptimized
    where optimizing would remove them.

    Raises:
        UserError: ONNX Runtime refuses the model.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    present = {value.name for value in copy.graph.output}
    copy.graph.output.extend(
        helper.make_empty_tensor_value_info(name) for name in outputs if name not in present
    )
    options = ort.SessionOptions()
    options.log_severity_level = 4
    # It is used once: kept memory would only add to the search's.
    options.enable_cpu_mem_arena = False
    with _refusals():
        return ort.InferenceSession(
            copy.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def run(session: ort.InferenceSession, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """All outputs by name; inputs that the session does not know are left out.

    Raises:
        UserError: an input is missing or does not fit, or the model fails on it.
    """
    wanted = {value.name for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    feed = {name: array for name, array in inputs.items() if name in wanted}
    with _refusals():
        return dict(zip(names, session.run(names, feed), strict=True))


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's errors share no other base class
        reason = shorten(str(error), 700)
        raise UserError(f"ONNX Runtime cannot run the model: {reason}") from None

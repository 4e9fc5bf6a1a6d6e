"""Any file given as a model: artifacts that load, or a message."""

import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random

import onnx
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from onnx import helper

from paretune.errors import CandidateError
from paretune.evaluators.processes.worker import Worker
from tests.fuzz.mutating import mutated_bytes, randoms
from tests.fuzz.onnx_files import mutated_model
from tests.fuzz.onnx_worker import ARTIFACT, BUG
from tests.search.backends.onnx.zoo import ZOO, data_of

Outcome = Callable[[bytes, str, int], str]
_MEMORY = 3 << 30
_SECONDS = 20.0
"""An endless loop takes as long; nothing else comes near."""


@cache
def zoo(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return ZOO[name](Path(folder) / "model.onnx").read_bytes()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """What becomes of a model, found out by a process that it may take down."""
    log = tmp_path_factory.mktemp("fuzz") / "log"
    workers: list[Worker] = []

    def find(content: bytes, name: str, seed: int) -> str:
        if not workers:
            command = [sys.executable, "-m", "tests.fuzz.onnx_worker"]
            workers.append(Worker(command, log, name="it", memory=_MEMORY))
        try:
            request = pickle.dumps((content, data_of(name), seed))
            return workers[0].ask(request, seconds=_SECONDS).decode()
        except CandidateError as error:
            workers.pop().close()
            # That is what a rehearsal is for.
            return str(error) if "(preparing)" in str(error) else f"{BUG}{error}"

    yield find
    for worker in workers:
        worker.close()


@given(
    name=st.sampled_from(list(ZOO)), rng=randoms, whole=st.integers(0, 6), seed=st.integers(0, 99)
)
def test_any_file(name: str, rng: Random, whole: int, seed: int, outcome: Outcome) -> None:
    mutate = mutated_model if whole else mutated_bytes
    found = outcome(mutate(zoo(name), rng), name, seed)
    event("an artifact" if found == ARTIFACT else "a message")
    assert not found.startswith(BUG), found
    assert found


def unknown_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 99


def two_opsets(model: onnx.ModelProto) -> None:
    """The same one by its other name."""
    model.opset_import.append(helper.make_opsetid("ai.onnx", 21))


def wrong_shape(model: onnx.ModelProto) -> None:
    """Of a constant that is an output, which only the conversion to another opset looks at."""
    model.graph.output.append(
        helper.make_tensor_value_info("stem.bias", onnx.TensorProto.FLOAT, ["batch", 8])
    )


def no_text(model: onnx.ModelProto) -> None:
    """Bytes in a name that the checker puts into its message."""
    model.graph.node[0].input[0] = "nowhere-nowhere"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unknown_type, "the model's input 'image' is no tensor of numbers"),
        (two_opsets, "is not valid ONNX: it asks for opset 17 and 21 at once"),
        (wrong_shape, "the model has opset 17 and cannot be converted to 21: [ShapeInference"),
        (no_text, "is not valid ONNX: "),
    ],
)
def test_what_the_message_says(
    change: Callable[[onnx.ModelProto], None], message: str, outcome: Outcome
) -> None:
    model = onnx.ModelProto.FromString(zoo("cnn"))
    change(model)
    content = model.SerializeToString().replace(b"nowhere-nowhere", b"nowhere\xebnowhere")
    assert message in outcome(content, "cnn", 0)


@pytest.mark.parametrize("name", ZOO)
def test_the_models_themselves_become_artifacts(name: str, outcome: Outcome) -> None:
    assert outcome(zoo(name), name, 0) == ARTIFACT

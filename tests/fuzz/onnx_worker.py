"""What becomes of a mutated model, in a process that it may take down.

`python -m tests.fuzz.onnx_worker` answers requests as `processes.serving` tells.
"""

import faulthandler
import pickle
import tempfile
import traceback
from pathlib import Path
from random import Random

import onnxruntime as ort

from paretune.errors import Infeasible, UserError
from paretune.evaluators import Batch, Splits
from paretune.evaluators.checking import check_splits
from paretune.evaluators.processes.serving import Note, serve
from paretune.search.backends.onnx import OnnxBackend
from paretune.search.model import resolve_model
from paretune.spaces import Precision, build_space, parse_sparsity

ARTIFACT = "an artifact"
BUG = "bug: "

_SPARSITIES = tuple(map(parse_sparsity, ("channel:0.5", "2:4", "rank:0.5", "drop")))


def outcome(content: bytes, batch: Batch, seed: int, tell: Note) -> str:
    """An artifact, an error message, or a bug with its traceback."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        try:
            return _outcome(content, batch, seed, tell, folder)
        except (UserError, Infeasible) as error:
            left = [path.name for path in folder.rglob("*.draft")]
            return f"{BUG}left behind: {left}" if left else str(error) or f"{BUG}no message"
        except Exception:  # noqa: BLE001 - that is what is looked for
            return BUG + traceback.format_exc()


def _outcome(content: bytes, batch: Batch, seed: int, tell: Note, folder: Path) -> str:
    (folder / "model.onnx").write_bytes(content)
    (folder / "weights.bin").write_bytes(bytes(1 << 16))
    (folder / "link").symlink_to("/etc/passwd")
    model = resolve_model("model.onnx", folder, folder / "cache")
    tell("checking")
    check_splits(Splits((batch,), (batch,), (batch,)), model)
    tell("preparing")
    OnnxBackend().prepare(model, (batch,), folder / "cache", {})
    tell("prepared already")
    prepared = OnnxBackend().prepare(model, (batch,), folder / "cache", {})
    space = build_space(
        prepared.layers,
        prepared.groups,
        prepared.capabilities,
        Precision.USUAL,
        _SPARSITIES,
        blocks=prepared.blocks,
    )
    rng = Random(seed)
    policies = [
        space.decode({knob.name: rng.choice(knob.options) for knob in space.knobs}),
        space.uniform(Precision.INT8),
    ]
    tell("building")
    paths = [prepared.reference.path]
    for number, policy in enumerate(policies):
        paths.append(folder / f"candidate{number}.onnx")
        try:
            prepared.apply(policy, paths[-1])
        except Infeasible:
            assert not paths.pop().exists()
    tell("loading")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    for path in paths:
        ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return ARTIFACT


def answer(request: bytes, tell: Note) -> bytes:
    content, batch, seed = pickle.loads(request)
    return outcome(content, batch, seed, tell).encode(errors="replace")


if __name__ == "__main__":
    faulthandler.enable()
    serve(answer)

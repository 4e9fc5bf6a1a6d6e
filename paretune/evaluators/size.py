"""How large an artifact is: on disk, and as a compressed download."""

import mmap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import onnx
import zstandard

from paretune.evaluators.artifact import Artifact
from paretune.evaluators.evaluator import EvaluationContext, EvaluatorOptions, SplitName
from paretune.evaluators.measurement import Measurement
from paretune.evaluators.metric import Metric

_LEVEL = 3
_CHUNK = 1 << 20


class SizePlugin:
    """`size_bytes` of the file and its external data, `download_bytes` of the same, zstd -3."""

    Options = EvaluatorOptions

    @staticmethod
    def metrics(_options: EvaluatorOptions) -> tuple[Metric, ...]:
        """Both in bytes, less is better."""
        return (
            Metric("size_bytes", "bytes", "minimize", "Size of the model file and external data"),
            Metric("download_bytes", "bytes", "minimize", "The same, compressed by zstd level 3"),
        )

    @staticmethod
    def create(_options: EvaluatorOptions, _context: EvaluationContext) -> "SizeEvaluator":
        """Needs neither data nor reference."""
        return SizeEvaluator()


class SizeEvaluator:
    """Reads the artifact's files."""

    def measure(
        self, artifact: Artifact, metrics: Sequence[Metric], _split: SplitName
    ) -> dict[str, Measurement]:
        """Exact figures, without an interval; the same on every split."""
        files = [artifact.path, *external_files(artifact.path)]
        measured = {}
        for metric in metrics:
            if metric.name == "size_bytes":
                size = sum(file.stat().st_size for file in files)
                measured[metric.name] = Measurement(float(size), samples={"files": len(files)})
            else:
                size = _compressed_size(files)
                conditions = {"compression": f"zstd level {_LEVEL}"}
                measured[metric.name] = Measurement(float(size), conditions=conditions)
        return measured

    def close(self) -> None:
        """Nothing is held."""


def external_files(model: Path) -> list[Path]:
    """The files beside an ONNX file that hold its large tensors, sorted."""
    # Every external tensor has this key; most models have none, and parsing takes far longer.
    with (
        model.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        if content.find(b"location") < 0:
            return []
    graph = onnx.load(model, load_external_data=False).graph
    names = {
        entry.value
        for tensor in _tensors(graph)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return [model.parent / name for name in sorted(names)]


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """All initializers and attributes, those of subgraphs included."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for inner in attribute.graphs:
                yield from _tensors(inner)


def _compressed_size(files: Iterable[Path]) -> int:
    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
    size = 0
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                size += len(compressor.compress(chunk))
    return size + len(compressor.flush())

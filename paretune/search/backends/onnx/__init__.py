"""The ONNX backend: post-training quantization and pruning of ONNX graphs."""

from paretune.search.backends.onnx.backend import OnnxBackend
from paretune.search.backends.onnx.prepared import OnnxPrepared

__all__ = ["OnnxBackend", "OnnxPrepared"]

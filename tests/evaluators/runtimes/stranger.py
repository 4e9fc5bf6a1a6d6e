"""Someone else's runtime: the slow but exact one that comes with the package onnx."""

from pathlib import Path

_MODULE = """
import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from paretune.errors import UserError


class ExactPlugin:
    @staticmethod
    def create(threads, options):
        if unknown := set(options) - {"error", "where"}:
            raise UserError(f"runtime 'exact': unknown option '{unknown.pop()}'")
        return Exact(**options)


class Exact:
    name = "exact CPU"
    version = onnx.__version__
    tolerance = 0.1

    def __init__(self, error=0.0, where=""):
        self.error, self.where = error, where

    def load(self, path, parallel=1):
        return Model(path, self.error if self.where in path.name else 0.0)


class Model:
    def __init__(self, path, error):
        self.evaluator, self.factor = ReferenceEvaluator(str(path)), np.float32(1 + error)

    def run(self, feeds):
        outputs = self.evaluator.run(None, dict(feeds))
        names = self.evaluator.output_names
        return {name: self.factor * x for name, x in zip(names, outputs, strict=True)}

    def bind(self, feeds):
        return lambda: self.run(feeds)
"""


def install(site: Path) -> None:
    """Write a package with the runtime `exact` to a folder that is put on the Python path.

    Its option `error` makes the outputs of models wrong whose file names hold `where`.
    """
    info = site / "acme_exact-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_exact.py").write_text(_MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-exact\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[paretune.runtimes]\nexact = acme_exact:ExactPlugin\n")

"""Someone else's runtime that breaks in the way that a model's file name says."""

from pathlib import Path

_MODULE = """
import ctypes
from paretune.evaluators.runtimes.onnxruntime import OnnxRuntime


class FaultyPlugin:
    @staticmethod
    def create(threads, options):
        if options.get("fault") == "start":
            ctypes.string_at(0)
        return Faulty(threads)


class Faulty(OnnxRuntime):
    def load(self, path):
        return Model(super().load(path), path.stem)


class Model:
    def __init__(self, model, fault):
        self._model, self._fault = model, fault

    def bind(self, feeds):
        return lambda: self.run(feeds)

    def run(self, feeds):
        if self._fault == "segfault":
            ctypes.string_at(0)
        if self._fault == "hang":
            # In C, with the interpreter's lock: no Python code could end it.
            ctypes.PyDLL(None).pause()
        if self._fault == "hoard":
            hoard = []
            while True:
                # In C, too; touched, so that it really takes memory.
                libc = ctypes.CDLL(None)
                libc.malloc.restype = ctypes.c_void_p
                block = libc.malloc(1 << 24)
                if not block:
                    raise MemoryError
                ctypes.memset(block, 1, 1 << 24)
                hoard.append(block)
        if self._fault == "careless":
            # Does not look whether there was any memory.
            libc = ctypes.CDLL(None)
            libc.malloc.restype = ctypes.c_void_p
            ctypes.memset(libc.malloc(ctypes.c_size_t(1 << 40)), 1, 1)
        if self._fault == "raise":
            raise RuntimeError("that was not planned")
        return self._model.run(feeds)
"""


def install(site: Path) -> None:
    """Write a package with the runtime `faulty` to a folder that is put on the Python path."""
    info = site / "acme_faulty-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_faulty.py").write_text(_MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-faulty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[paretune.runtimes]\nfaulty = acme_faulty:FaultyPlugin\n"
    )

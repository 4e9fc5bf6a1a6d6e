"""What every runtime is: something that loads an ONNX file and runs it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from paretune.evaluators.data import Array

GROUP = "paretune.runtimes"
"""Entry points of this group are runtimes; the entry point's name is the `runtime:` in a config."""


class Model(Protocol):
    """A loaded model."""

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name to array, in the model's order; outputs that are no tensors are left out.

        May be called by several threads at once.

        Raises:
            InferenceError: the runtime cannot run the model on these inputs.
        """
        ...

    def bind(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """A function that runs the model once on these inputs and does next to nothing else.

        This is what is timed. It runs on the calling thread and the runtime's own.
        """
        ...


class Runtime(Protocol):
    """A runtime, set up in this process.

    Attributes:
        name: with what it runs on, such as `onnxruntime CPUExecutionProvider`.
        version: of the runtime.
        tolerance: how far its outputs may be from ONNX Runtime's, see `agreement`;
            `agreement.TOLERANCE` for one that computes with the precision that the model asks for.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def tolerance(self) -> float: ...

    def load(self, path: Path, parallel: int = 1) -> Model:
        """Load a model.

        Args:
            path: of an ONNX file, whatever its name ends with.
            parallel: threads that will call `run` at once, for runtimes that prepare for it.

        Raises:
            InferenceError: the runtime cannot load it.
        """
        ...


class RuntimePlugin(Protocol):
    """The factory behind an entry point.

    It is loaded on devices that have little more than Python, numpy and the runtime itself: it
    imports neither pydantic nor onnx, and the runtime only in `create`.
    """

    @staticmethod
    def create(threads: int, options: Mapping[str, Any]) -> Runtime:
        """Set the runtime up; called once per process, before any model is loaded.

        Args:
            threads: that one run of a model may use.
            options: of the runtime; JSON values.

        Raises:
            UserError: the runtime is not installed (saying how to install it), or an option is
                unknown or has an impossible value.
        """
        ...

"""ONNX Runtime, by default on the CPU."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from paretune.errors import InferenceError, UserError
from paretune.evaluators.data import Array
from paretune.evaluators.runtimes.agreement import TOLERANCE
from paretune.names import nearest

_CPU = "CPUExecutionProvider"
_FATAL_ONLY = 4
_OPTIMIZATION = {
    "all": "ORT_ENABLE_ALL",
    "extended": "ORT_ENABLE_EXTENDED",
    "basic": "ORT_ENABLE_BASIC",
    "none": "ORT_DISABLE_ALL",
}


class OnnxRuntimePlugin:
    """Options: `provider`, `provider_options`, `optimization`, `session` (config entries)."""

    @staticmethod
    def create(threads: int, options: Mapping[str, Any]) -> "OnnxRuntime":
        """Set it up; with more than one thread, all sessions share one pool.

        Raises:
            UserError: not installed, or an option is unknown or has an impossible value.
        """
        return OnnxRuntime(threads, **_checked(options))


class OnnxRuntime:
    """ONNX Runtime in this process.

    Args:
        threads: of a run.
        provider: execution provider.
        provider_options: for it.
        optimization: level of graph optimization.
        session: session configuration entries.
    """

    def __init__(
        self,
        threads: int = 1,
        *,
        provider: str = _CPU,
        provider_options: Mapping[str, Any] | None = None,
        optimization: str = "all",
        session: Mapping[str, Any] | None = None,
    ) -> None:
        # It would keep a database in the user's home, and threads beside what is measured.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(
                f"the runtime 'onnxruntime' does not import ({error}); pip install onnxruntime"
            ) from error
        available = onnxruntime.get_available_providers()
        if provider not in available:
            raise UserError(
                f"runtime 'onnxruntime': unknown provider '{provider}'"
                f"{nearest(provider, available)}"
            )
        self._ort = onnxruntime
        self._threads = threads
        self._provider = provider
        self._provider_options = dict(provider_options or {})
        self._optimization = optimization
        self._session = dict(session or {})
        if threads > 1:
            # With a pool each, an idle session's threads spin on cores that the other needs.
            onnxruntime.set_global_thread_pool_sizes(threads, 1)

    @property
    def name(self) -> str:
        return f"onnxruntime {self._provider}"

    @property
    def version(self) -> str:
        return str(self._ort.__version__)

    @property
    def tolerance(self) -> float:
        return TOLERANCE

    def load(self, path: Path, parallel: int = 1) -> "OnnxModel":
        """Open a session; any number of threads may use it.

        Raises:
            InferenceError: ONNX Runtime cannot load the model.
            UserError: the provider does not start here.
        """
        ort = self._ort
        options = ort.SessionOptions()
        if self._threads > 1:
            options.use_per_session_threads = False
        else:
            options.intra_op_num_threads = 1
        options.graph_optimization_level = getattr(
            ort.GraphOptimizationLevel, _OPTIMIZATION[self._optimization]
        )
        # What goes wrong is raised; its log line besides would break into the progress display.
        options.log_severity_level = _FATAL_ONLY
        for key, value in self._session.items():
            # It knows 0 and 1 only, where YAML says true and false.
            text = str(int(value)) if isinstance(value, bool) else str(value)
            options.add_session_config_entry(key, text)
        providers = [(self._provider, self._provider_options)]
        if self._provider != _CPU:
            providers.append((_CPU, {}))
        try:
            # By itself it would fall back to the CPU.
            session = ort.InferenceSession(path, options, providers=providers, enable_fallback=0)
        except Exception as error:
            raise InferenceError(f"ONNX Runtime cannot load '{path}': {error}") from error
        if self._provider not in session.get_providers():
            raise UserError(f"runtime 'onnxruntime': '{self._provider}' does not start here")
        return OnnxModel(session)


class OnnxModel:
    """An open session."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._names = [x.name for x in session.get_outputs() if x.type.startswith("tensor")]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name to array.

        Raises:
            InferenceError: ONNX Runtime cannot run the model on these inputs.
        """
        try:
            arrays = self._session.run(self._names, dict(feeds))
        except Exception as error:
            raise InferenceError(f"ONNX Runtime cannot run the model: {error}") from error
        return dict(zip(self._names, arrays, strict=True))

    def bind(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Runs the session on these inputs."""
        return partial(self._session.run, self._names, dict(feeds))


def _checked(options: Mapping[str, Any]) -> dict[str, Any]:
    known = ("provider", "provider_options", "optimization", "session")
    for name in options:
        if name not in known:
            raise UserError(f"runtime 'onnxruntime': unknown option '{name}'{nearest(name, known)}")
    level = options.get("optimization", "all")
    if level not in list(_OPTIMIZATION):
        raise UserError(
            f"runtime 'onnxruntime': 'optimization' must be one of {', '.join(_OPTIMIZATION)},"
            f" but got {level!r}"
        )
    for name, kind, what in (
        ("provider", str, "text"),
        ("provider_options", Mapping, "a mapping"),
        ("session", Mapping, "a mapping"),
    ):
        if name in options and not isinstance(options[name], kind):
            raise UserError(
                f"runtime 'onnxruntime': '{name}' must be {what}, but got {options[name]!r}"
            )
    return dict(options)

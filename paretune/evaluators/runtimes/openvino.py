"""OpenVINO, by default on the CPU."""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paretune.errors import InferenceError, UserError
from paretune.evaluators.data import Array
from paretune.evaluators.runtimes.agreement import TOLERANCE
from paretune.names import nearest

_WHERE = "runtime 'openvino':"
_PRECISIONS = {"f32": "FP32", "bf16": "BF16", "f16": "FP16"}
"""Hint to the capability that a device needs for it."""

_OURS = {
    "INFERENCE_PRECISION_HINT": "precision",
    "INFERENCE_NUM_THREADS": "threads",
    "NUM_STREAMS": "threads",
    "PERFORMANCE_HINT": "threads",
    "ENABLE_CPU_PINNING": "cpus",
    "ENABLE_HYPER_THREADING": "cpus",
    "SCHEDULING_CORE_TYPE": "cpus",
}
"""Property to what it follows from."""


class OpenVinoPlugin:
    """Options: `device`, `precision`, `config` (a mapping of OpenVINO's properties)."""

    @staticmethod
    def create(threads: int, options: Mapping[str, Any]) -> "OpenVinoRuntime":
        """Set it up.

        Raises:
            UserError: not installed, or an option is unknown or has an impossible value.
        """
        known = ("device", "precision", "config")
        for name in options:
            if name not in known:
                raise UserError(f"{_WHERE} unknown option '{name}'{nearest(name, known)}")
        if not isinstance(options.get("config", {}), Mapping):
            raise UserError(f"{_WHERE} 'config' must be a mapping")
        return OpenVinoRuntime(threads, **options)


class OpenVinoRuntime:
    """OpenVINO in this process.

    What a policy leaves in fp32 runs in fp32. Left to itself, OpenVINO takes bfloat16 for that on
    CPUs with AMX or AVX-512 BF16: faster, and less accurate. Whoever serves a model that way sets
    `precision: bf16`, and it is measured that way.

    Args:
        threads: of a run, on the CPU.
        device: OpenVINO's name for it.
        precision: `f32`, `bf16` or `f16`, as far as the device computes in it.
        config: further properties of the device.
    """

    def __init__(
        self,
        threads: int = 1,
        *,
        device: str = "CPU",
        precision: str = "f32",
        config: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            import openvino
            from openvino.frontend import FrontEndManager
        except ImportError as error:
            raise UserError(
                f"the runtime 'openvino' does not import ({error});"
                " pip install 'paretune[openvino]'"
            ) from error
        self._openvino = openvino
        self._core = openvino.Core()
        self._reader = FrontEndManager().load_by_framework("onnx")
        self._device = device
        self._precision = precision
        self._threads = threads
        _check_device(self._core, device, precision, threads)
        _set_properties(self._core, device, config or {})

    @property
    def name(self) -> str:
        return f"openvino {self._device} {self._precision}"

    @property
    def version(self) -> str:
        return str(self._openvino.__version__).partition("-")[0]

    @property
    def tolerance(self) -> float:
        return TOLERANCE if self._precision == "f32" else 2 * TOLERANCE

    def load(self, path: Path, parallel: int = 1) -> "OpenVinoModel":
        """Compile a model.

        Raises:
            InferenceError: OpenVINO cannot load the model.
        """
        properties = {
            "INFERENCE_PRECISION_HINT": self._precision,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": parallel,
        }
        if self._device == "CPU":
            properties |= {
                "INFERENCE_NUM_THREADS": self._threads * parallel,
                # All CPUs that this process is pinned to, and no others.
                "ENABLE_CPU_PINNING": False,
                "ENABLE_HYPER_THREADING": True,
                "SCHEDULING_CORE_TYPE": "ANY_CORE",
            }
        try:
            model = self._reader.convert(self._reader.load(path))
            return OpenVinoModel(self._core.compile_model(model, self._device, properties))
        except Exception as error:
            raise InferenceError(f"OpenVINO cannot load '{path}': {_short(error)}") from error


class OpenVinoModel:
    """A compiled model."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._inputs = {name: port for port in compiled.inputs for name in port.names}
        self._outputs = {_output_name(port): port for port in compiled.outputs}
        self._requests = threading.local()

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Output name to array.

        Raises:
            InferenceError: OpenVINO cannot run the model on these inputs.
        """
        if not hasattr(self._requests, "own"):
            self._requests.own = self._compiled.create_infer_request()
        request = self._requests.own
        try:
            self._set_inputs(request, feeds)
            request.infer()
            return {
                name: request.get_tensor(port).data.copy() for name, port in self._outputs.items()
            }
        except Exception as error:
            raise InferenceError(f"OpenVINO cannot run the model: {_short(error)}") from error

    def bind(self, feeds: Mapping[str, Array]) -> Callable[[], object]:
        """Runs an infer request of its own, with these inputs set once."""
        request = self._compiled.create_infer_request()
        self._set_inputs(request, feeds)
        infer: Callable[[], object] = request.infer
        return infer

    def _set_inputs(self, request: Any, feeds: Mapping[str, Array]) -> None:
        from openvino import PartialShape, Tensor

        for name, array in feeds.items():
            if name not in self._inputs:
                raise ValueError(f"no input '{name}'{nearest(name, self._inputs)}")
            port = self._inputs[name]
            dtype, shape = port.element_type.to_dtype(), port.partial_shape
            # OpenVINO computes something from any shape, without a word.
            if array.dtype != dtype or not shape.compatible(PartialShape(list(array.shape))):
                raise ValueError(
                    f"the input '{name}' is {dtype} of shape {shape}, but got {array.dtype} of"
                    f" shape {array.shape}"
                )
            request.set_tensor(port, Tensor(array))


def _check_device(core: Any, device: str, precision: str, threads: int) -> None:
    devices = core.available_devices
    if device not in devices:
        raise UserError(f"{_WHERE} unknown device '{device}'{nearest(str(device), devices)}")
    able = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    precisions = [name for name, capability in _PRECISIONS.items() if capability in able]
    if precision not in precisions:
        raise UserError(
            f"{_WHERE} 'precision' must be one of {', '.join(precisions)} on '{device}',"
            f" but got {precision!r}"
        )
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads
    if device == "CPU" and threads > cpus:
        # It would quietly take fewer threads.
        raise UserError(f"{_WHERE} {threads} threads need as many CPUs, but there are {cpus}")


def _set_properties(core: Any, device: str, properties: Mapping[str, Any]) -> None:
    supported = core.get_property(device, "SUPPORTED_PROPERTIES")
    for name, value in properties.items():
        if name in _OURS:
            raise UserError(f"{_WHERE} 'config' cannot set {name}; it follows '{_OURS[name]}'")
        if name not in supported:
            free = [x for x, access in supported.items() if access != "RO" and x not in _OURS]
            raise UserError(f"{_WHERE} 'config': unknown property '{name}'{nearest(name, free)}")
        try:
            core.set_property(device, {name: value})
        except Exception as error:
            raise UserError(f"{_WHERE} 'config': {_short(error)}") from error


def _output_name(port: Any) -> str:
    """Its name in the ONNX file; `port.names` may hold those of removed operators as well."""
    name: str = port.get_node().get_friendly_name().removesuffix("/sink_port_0")
    return name if name in port.names else port.get_any_name()


def _short(error: Exception) -> str:
    """Without the lines that say where in OpenVINO it came from."""
    lines = (line.strip() for line in str(error).splitlines())
    return " ".join(x for x in lines if x and not x.startswith(("Exception from", "Check '")))

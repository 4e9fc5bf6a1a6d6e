"""Under what versions and on what machine a study ran."""

import os
import platform
import socket
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from paretune.evaluators.measuring.cpu import cpu_model

_PACKAGES = ("paretune", "onnx", "onnxruntime", "optuna", "torch", "numpy", "mlflow")


def environment() -> dict[str, Any]:
    """JSON values: Python, packages, operating system, host, CPU, cores."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "os": platform.platform(),
        "host": socket.gethostname(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

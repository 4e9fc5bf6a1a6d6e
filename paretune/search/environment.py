"""Under what versions and on what machine a study ran."""

import os
import platform
import socket
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("paretune", "onnx", "onnxruntime", "optuna", "torch", "numpy", "mlflow")


def environment() -> dict[str, Any]:
    """JSON values: Python, packages, operating system, host, CPU, cores."""
    return {
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "os": platform.platform(),
        "host": socket.gethostname(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
    }


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two environments that changes latencies, one text a difference."""

    def facts(environment: Mapping[str, Any]) -> dict[str, Any]:
        packages = environment.get("packages", {})
        facts = {key: environment.get(key) for key in ("cpu", "cores")}
        return {**facts, "onnxruntime": packages.get("onnxruntime")}

    old, new = facts(before), facts(now)
    return [f"{key} was {old[key]}, is now {new[key]}" for key in old if old[key] != new[key]]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpu() -> str:
    # `platform.processor` is empty on most Linux systems.
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())

"""From what a user names as the model to an ONNX file."""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from paretune.errors import UserError

USER_MISTAKE = 2
"""The exit code by which the exporting process says that the message is for the user."""


def resolve_model(spec: str, base: Path, cache: Path, *, first: bool = False) -> Path:
    """Find or make the ONNX file.

    A module is exported once and kept in `cache`; it is exported again when the source file of its
    function has changed.

    Args:
        spec: path of a `.onnx` file, relative to `base` or to the current folder, or
            `package.module:function`, which returns what `paretune.search.export.export_model`
            takes.
        base: folder of the config.
        cache: where an exported model is kept.
        first: take what was exported first, also if the source has changed since: the model that
            the study in this folder is about.

    Raises:
        UserError: there is no such file or function, or the export fails.
    """
    if ":" not in spec or spec.endswith(".onnx"):
        return _existing(spec, base)
    name = f"exported-{hashlib.sha256(spec.encode()).hexdigest()[:8]}"
    exported = sorted(cache.glob(f"{name}-*.onnx"), key=lambda path: path.stat().st_mtime)
    if first and exported:
        return exported[0]
    target = cache / f"{name}-{_source_hash(spec)}.onnx"
    return target if target.is_file() else _export(spec, target)


def _existing(spec: str, base: Path) -> Path:
    places = [base / spec, Path(spec)]
    for path in places:
        if path.is_file():
            return path
    looked = " or ".join(dict.fromkeys(str(path) for path in places))
    raise UserError(
        f"model: no file {looked}; allowed are the path of an .onnx file and"
        " 'package.module:function'"
    )


def _source_hash(spec: str) -> str:
    """Changes with the source file that the function is in."""
    digest = hashlib.sha256()
    try:
        found = importlib.util.find_spec(spec.partition(":")[0])
    except (ImportError, ValueError):
        found = None
    if found is not None and found.origin and Path(found.origin).is_file():
        digest.update(Path(found.origin).read_bytes())
    return digest.hexdigest()[:16]


def _export(spec: str, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    # The child has to find the user's modules where this process does.
    places = os.pathsep.join(place for place in sys.path if place)
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "paretune.search.export", spec, str(target)],
            env={**os.environ, "PYTHONPATH": places},
            # When this process ends, so does that end of the pipe, and with it the child.
            stdin=reading,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.close(reading)
        os.close(writing)
    if done.returncode == USER_MISTAKE:
        raise UserError(done.stderr.strip().splitlines()[-1])
    if done.returncode != 0:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise UserError(f"model: {spec} failed with exit code {done.returncode}:\n{tail}")
    return Path(done.stdout.strip().splitlines()[-1])

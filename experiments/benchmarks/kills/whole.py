"""Whether what a killed command leaves behind is whole."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import yaml
from PIL import Image

from paretune.search.store import StudyStore

JOURNAL = "study.journal"
_PASSING = {"scratch", "study.lock", "evaluators.log", "study.new"}


class Broken(Exception):
    """What should never happen after a kill."""


def journal_lines(study: Path) -> list[bytes]:
    """The whole lines of the journal; none before it is there."""
    path = study / JOURNAL
    content = path.read_bytes() if path.exists() else b""
    return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)


def check_journal(study: Path, before: list[bytes]) -> list[bytes]:
    """What was in the journal is still there, and no policy has been measured twice.

    Args:
        before: its lines at the last look.

    Returns:
        its lines now.

    Raises:
        Broken: a line is lost or changed, or a policy is there twice.
    """
    lines = journal_lines(study)
    if lines[: len(before)] != before:
        raise Broken(f"the journal of '{study}' lost or changed some of {len(before)} lines")
    if lines:
        trials = StudyStore.open(study).trials()
        counts = Counter(trial.policy for trial in trials if not trial.transient)
        if twice := [policy.key for policy, count in counts.items() if count > 1]:
            raise Broken(f"measured more than once: {twice}")
    return lines


def check_files(study: Path) -> int:
    """Every file that is meant to stay can be read to its end; returns how many there are.

    Raises:
        Broken: names the file.
    """
    count = 0
    for path in lasting(study):
        count += 1
        try:
            _reader(path)(path)
        except Exception as error:
            raise Broken(f"'{path}' is not whole: {type(error).__name__}: {error}") from error
    return count


def check_database(path: Path) -> None:
    """A database of MLflow can be read to its end, if there is one.

    Raises:
        Broken: it cannot.
    """
    if not path.exists():
        return
    with closing(sqlite3.connect(path)) as database:
        (found,) = database.execute("PRAGMA integrity_check").fetchone()
    if found != "ok":
        raise Broken(f"'{path}' is not whole: {found}")


def lasting(study: Path) -> Iterator[Path]:
    """All files but those that live as long as a process."""
    for path in sorted(study.rglob("*")):
        parts = path.relative_to(study).parts
        passing = any(part.startswith(".") or part in _PASSING for part in parts)
        if path.is_file() and not passing and path.suffix != ".spool":
            yield path


def passing(folder: Path) -> list[Path]:
    """Files and folders that a killed process has left, and that the next one should remove."""
    hidden = {*folder.rglob(".*"), *folder.rglob("*.spool"), folder / "scratch"}
    return sorted(path for path in hidden if path.exists())


def _reader(path: Path) -> Callable[[Path], object]:
    if path.parent.name == "pieces":
        return _read_piece
    readers: dict[str, Callable[[Path], object]] = {
        ".png": _read_picture,
        ".parquet": pd.read_parquet,
        ".csv": pd.read_csv,
        ".json": lambda path: json.loads(path.read_bytes()),
        ".yaml": lambda path: yaml.safe_load(path.read_bytes()),
        ".html": lambda path: _ends_with(path, "</html>"),
        ".onnx": lambda path: onnx.checker.check_model(str(path)),
        ".npz": _read_arrays,
        ".journal": lambda path: [json.loads(line) for line in journal_lines(path.parent)],
    }
    return readers.get(path.suffix, Path.read_bytes)


def _read_picture(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def _read_piece(path: Path) -> None:
    piece = onnx.GraphProto.FromString(path.read_bytes())
    if not piece.initializer:
        raise ValueError("it is empty")
    for tensor in piece.initializer:
        onnx.numpy_helper.to_array(tensor)


def _read_arrays(path: Path) -> None:
    with np.load(path) as file:
        for name in file:
            file[name]


def _ends_with(path: Path, end: str) -> None:
    if not path.read_text(encoding="utf-8").rstrip().endswith(end):
        raise ValueError(f"it does not end with {end}")

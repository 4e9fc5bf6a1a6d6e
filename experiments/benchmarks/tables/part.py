"""The part file: what is measured so far, safe from a kill at any moment."""

import fcntl
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Row = Mapping[str, Any]
QUIET = 0.1
"""This quantile of the reference's latencies is taken for that of a quiet machine."""
SLOW = 0.06
"""A reference that is slower by more than this share was disturbed."""

Task = tuple[int, int]
"""Number of a policy, and which half of it."""


class PartFile:
    """JSON lines: what it is about, then one row a measurement.

    A row has `policy` and `half`, which make its task, `disturbed` and `reference_ms`.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is read or written yet."""
        self._path = path

    def open(self, about: Mapping[str, Any]) -> list[Row]:
        """What was measured before; a last line that a kill has torn is cut off.

        Args:
            about: JSON values; is written where there is no file yet.

        Raises:
            ValueError: the file is about something else, or another process is at it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ValueError(f"another process is measuring for {self._path}") from None
        self._file.seek(0)
        lines = self._file.readlines()
        whole = [line for line in lines if line.endswith(b"\n")]
        self._file.truncate(sum(map(len, whole)))
        if not whole:
            self.append(about)
            return []
        first, *rest = map(json.loads, whole)
        now = json.loads(json.dumps(about))
        if differing := [key for key in {**first, **now} if first.get(key) != now.get(key)]:
            self.close()
            texts = (f"{key} was {first.get(key)}, is {now.get(key)}" for key in differing)
            raise ValueError(
                f"{self._path} was begun for something else ({'; '.join(texts)}):"
                " move it away to begin anew"
            )
        return rest

    def append(self, row: Row) -> None:
        """Add a measurement; a kill of this process afterwards does not lose it."""
        self._file.write(json.dumps(row).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Let others at it; the end of the process does so as well."""
        self._file.close()


def task_of(row: Row) -> Task:
    """Of what it is a measurement."""
    return row["policy"], row["half"]


def judged(rows: Sequence[Row]) -> list[Row]:
    """The rows, `disturbed` also where the reference was slow meanwhile.

    Somebody else's work on the same physical core is not seen from inside a virtual machine. It
    slows all models down, some more than others, so it shows in the time of the reference.
    """
    if not rows:
        return []
    quiet = float(np.quantile([row["reference_ms"] for row in rows], QUIET))
    return [
        {**row, "disturbed": row["disturbed"] or row["reference_ms"] > (1 + SLOW) * quiet}
        for row in rows
    ]


def best_rows(rows: Sequence[Row]) -> dict[Task, Row]:
    """Of every task a row that was not disturbed, else that of the fastest reference."""
    best: dict[Task, Row] = {}
    for row in sorted(judged(rows), key=lambda row: (row["disturbed"], row["reference_ms"])):
        best.setdefault(task_of(row), row)
    return best


def waiting(tasks: Sequence[Task], rows: Sequence[Row], attempts: int) -> list[Task]:
    """What is to be measured in the next round: what never was; then, what was disturbed.

    Args:
        tasks: all, in the order to measure them in.
        attempts: at a task that is disturbed every time.
    """
    best, tries = best_rows(rows), Counter(map(task_of, rows))
    return [task for task in tasks if task not in best] or [
        task for task in tasks if best[task]["disturbed"] and tries[task] < attempts
    ]

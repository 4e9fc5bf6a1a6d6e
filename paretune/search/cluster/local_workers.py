"""The workers of a search on its own machine, which come back whatever is killed."""

import time
from pathlib import Path
from typing import Self

from paretune.errors import UserError
from paretune.files import remove_if_empty
from paretune.search.cluster.staff import Staff, Supervisor

_SHORT_S = 30.0
_MOST_SHORT = 3


class LocalWorkers:
    """A staff whose supervisor is replaced when it dies. A context manager."""

    def __init__(self, staff: Staff, log: Path) -> None:
        """Start the workers, and wait until all are there.

        Args:
            log: what they print is appended to it; removed at the end if empty.

        Raises:
            UserError: they cannot be started.
        """
        self._staff = staff
        self._log = log
        self._short = 0
        self._supervisor = Supervisor(staff, log)
        try:
            self._supervisor.wait("ready")
        except BaseException:
            self.close()
            raise

    @property
    def process_id(self) -> int:
        """The supervisor's."""
        return self._supervisor.process_id

    def look_after(self) -> None:
        """Replace the supervisor if it has died, without waiting for the workers.

        Raises:
            UserError: it dies as soon as it begins, time after time.
        """
        if self._supervisor.alive:
            return
        short = time.monotonic() - self._supervisor.begun < _SHORT_S
        self._short = self._short + 1 if short else 0
        if self._short >= _MOST_SHORT:
            raise UserError(
                f"the workers end as soon as they begin: {self._supervisor.last_words()}; see"
                f" '{self._log}'"
            )
        self._supervisor.close()
        self._supervisor = Supervisor(self._staff, self._log)

    def close(self) -> None:
        """End the workers."""
        self._supervisor.close()
        remove_if_empty(self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

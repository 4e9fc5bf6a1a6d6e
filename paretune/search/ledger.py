"""A ledger: where the records of a study are kept, and what the store asks of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState


class StoredTrial(Protocol):
    """What is read back of a trial."""

    @property
    def number(self) -> int: ...

    @property
    def state(self) -> TrialState: ...

    @property
    def user_attrs(self) -> Mapping[str, Any]: ...


class Ledger(Protocol):
    """The records of one study: trials are added, attributes are set, nothing else changes.

    Anyone may read. Whoever writes has claimed it. What was written is durable once a call returns.
    """

    def __str__(self) -> str:
        """Names it in messages."""
        ...

    def exists(self) -> bool:
        """Whether the study was created."""
        ...

    def claim(self) -> None:
        """Get ready to write, as the only one who does; tidy up after a writer who was killed.

        Raises:
            UserError: somebody else has claimed it, or it cannot be written.
        """
        ...

    def create(
        self, name: str, directions: Sequence[StudyDirection], attrs: Mapping[str, Any]
    ) -> None:
        """Begin the study, whole or not at all."""
        ...

    def attrs(self) -> Mapping[str, Any]:
        """The study's attributes, JSON values."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Set an attribute to a JSON value."""
        ...

    def trials(self, start: int = 0) -> Sequence[StoredTrial]:
        """The trials with this number and above, in order."""
        ...

    def notes(self) -> dict[int, Mapping[str, Any]]:
        """Trial number to what the sampler noted on it."""
        ...

    def append(self, trial: FrozenTrial) -> int:
        """Add a finished trial.

        Returns:
            its number.
        """
        ...

    def close(self) -> None:
        """Give up what `claim` took."""
        ...

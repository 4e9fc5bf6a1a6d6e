"""The budget: how many trials, and how much time."""

import re
from dataclasses import dataclass

from paretune.durations import parse_duration
from paretune.errors import UserError

TIME_IS_UP = "the time is up"


@dataclass(frozen=True)
class Budget:
    """What a study may cost in all, earlier runs included.

    Attributes:
        trials: policies measured in the search phase, or None for no limit.
        seconds: wall time, confirming the front included, or None for no limit.
    """

    trials: int | None = None
    seconds: float | None = None

    def spent(self, trials: int, seconds: float, reserve: float) -> str:
        """Why the search phase is over, or empty while it is not.

        Args:
            trials: measured so far.
            seconds: gone by so far.
            reserve: seconds set aside for what follows the search phase.
        """
        if self.trials is not None and trials >= self.trials:
            return f"all {self.trials} trials are done"
        if self.seconds is not None and seconds + reserve >= self.seconds:
            return TIME_IS_UP
        return ""

    def seconds_left(
        self, trials: int, seconds: float, reserve: float, seconds_per_trial: float | None
    ) -> float | None:
        """Estimated seconds to the end of the search phase, or None while unknown."""
        left = []
        if self.trials is not None and seconds_per_trial is not None:
            left.append(max(0, self.trials - trials) * seconds_per_trial)
        if self.seconds is not None:
            left.append(max(0.0, self.seconds - seconds - reserve))
        return min(left, default=None)


def parse_budget(text: str) -> Budget:
    """Read a time (`8h`), a number of trials (`500`), or both (`8h,500`).

    Raises:
        UserError: the text is something else.
    """
    trials: int | None = None
    seconds: float | None = None
    parts = [part.strip() for part in text.split(",")]
    numbers = [part for part in parts if re.fullmatch(r"0*[1-9]\d{0,9}", part)]
    times = [part for part in parts if not part.isdecimal()]
    try:
        if len(numbers) > 1 or len(times) > 1 or len(numbers) + len(times) != len(parts):
            raise UserError(text)
        trials = int(numbers[0]) if numbers else None
        seconds = parse_duration(times[0]) if times else None
    except UserError:
        raise UserError(
            f"cannot read the budget '{text}'; allowed are a time such as 8h, 90m or 1h30m,"
            " a number of trials such as 500, or both: 8h,500"
        ) from None
    return Budget(trials, seconds)

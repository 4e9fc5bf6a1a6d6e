"""A metric that a user's own function computes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from paretune.errors import CandidateError, UserError
from paretune.evaluators.data import Array
from paretune.evaluators.intervals import Scores
from paretune.evaluators.metric import Direction
from paretune.importing import call_object, spell


@dataclass(frozen=True)
class UserMetric:
    """A function of outputs and targets.

    Attributes:
        name: of the metric.
        function: takes (outputs, targets) of one batch, returns scores of shape (samples,).
        direction: which way is better.
    """

    name: str
    function: Callable[..., Any]
    direction: Direction

    def scores(self, outputs: Mapping[str, Array], targets: Array | None, samples: int) -> Scores:
        """One score per sample, shape (samples,).

        Raises:
            CandidateError: the function returned something else.
        """
        return self._checked(self.function(outputs, targets), samples)

    def trial_run(
        self, outputs: Mapping[str, Array], targets: Array | None, samples: int
    ) -> Scores:
        """Like `scores`, on the fp32 model, where whatever goes wrong is the function's fault.

        Raises:
            UserError: the function raised, or returned something else.
        """
        result = call_object(f"metric '{self.name}'", self.function, outputs, targets)
        try:
            return self._checked(result, samples)
        except CandidateError as error:
            raise UserError(str(error)) from None

    def loss(self, reference: Scores, candidate: Scores) -> tuple[Scores, Scores]:
        """The two in the order whose difference is positive where the candidate is worse."""
        if self.direction == "maximize":
            return reference, candidate
        return candidate, reference

    def _checked(self, result: Any, samples: int) -> Scores:
        where = f"metric '{self.name}': {spell(self.function)}"
        expected = f"numbers of shape ({samples},), one score per sample"
        try:
            array = np.asarray(result)
        except ValueError as error:
            raise CandidateError(f"{where} must return {expected}, but got {error}") from None
        if array.dtype.kind not in "biuf":
            raise CandidateError(f"{where} must return {expected}, but got dtype {array.dtype}")
        if array.shape != (samples,):
            raise CandidateError(f"{where} must return {expected}, but got shape {array.shape}")
        scores = array.astype(np.float64)
        if bad := int((~np.isfinite(scores)).sum()):
            raise CandidateError(
                f"{where} returned NaN or infinite scores for {bad} of {samples} samples"
            )
        return scores

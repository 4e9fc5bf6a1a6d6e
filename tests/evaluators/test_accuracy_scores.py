"""Logarithms of probabilities, whatever the scores."""

import numpy as np

from paretune.evaluators.accuracy.scores import log_probabilities


def test_scores_as_far_apart_as_can_be_stay_numbers() -> None:
    far = np.array([[3e38, -3e38]], np.float32)
    found = log_probabilities(far, probabilities=False)
    assert found.dtype == np.float32 and np.isfinite(found).all()
    assert found[0, 0] == 0

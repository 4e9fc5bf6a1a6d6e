"""Landmarks: the trials that every front is compared with, fp32 and the uniform policies."""

from collections.abc import Mapping, Sequence

from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Dense, Policy, Precision

LANDMARKS = ("fp32", "uniform int8")
"""Their names."""


def uniform(trials: Sequence[Trial], precision: Precision) -> Trial | None:
    """The measured trial whose layers are all at `precision` as far as they can be, and dense.

    Which layers can be is taken from the trials themselves: those that some trial has there. A
    search starts from the uniform policies, so the earliest such trial is the one.
    """
    able: set[str] = set()
    policies = (trial.policy for trial in trials)

    def is_able(layers: set[str]) -> bool:
        # Policies are looked into until one tells.
        while able.isdisjoint(layers):
            policy = next(policies, None)
            if policy is None:
                return False
            able.update(name for name, choice in policy if choice.precision == precision)
        return True

    for trial in sorted(trials, key=lambda trial: trial.number):
        if trial.status is TrialStatus.COMPLETE and _dense(trial.policy):
            others = {name for name, choice in trial.policy if choice.precision != precision}
            if not others:
                return trial
            if not is_able(others):
                return trial if able else None
    return None


def reference(trials: Sequence[Trial]) -> Trial | None:
    """The trial that leaves the model as it is."""
    return uniform(trials, Precision.FP32)


def landmarks(trials: Sequence[Trial]) -> Mapping[str, Trial]:
    """What to show beside a front: `fp32` and `uniform int8`, as far as they were measured."""
    found = zip(LANDMARKS, (reference(trials), uniform(trials, Precision.INT8)), strict=True)
    return {name: trial for name, trial in found if trial is not None}


def _dense(policy: Policy) -> bool:
    return all(isinstance(choice.sparsity, Dense) for _, choice in policy)

"""One attempt: a policy is built and measured, and whatever happens becomes a trial."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from paretune.errors import (
    CandidateError,
    Infeasible,
    OutOfTime,
    ParetuneError,
    TransientError,
    UserError,
)
from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.evaluators.part import Part
from paretune.faults import machine_error
from paretune.search.bench import Bench
from paretune.search.racing import Finish, race
from paretune.search.trial import TRANSIENT, Trial, TrialStatus
from paretune.spaces import Policy, Precision

_T = TypeVar("_T")


@dataclass(frozen=True)
class Job:
    """A policy to be attempted.

    Attributes:
        policy: canonical.
        split: to measure on; races are run on the search split.
        rivals: the front, to race against; None measures everything in any case.
        known: what was measured elsewhere already.
        elsewhere: names of metrics that are measured there later.
    """

    policy: Policy
    split: SplitName = "search"
    rivals: Sequence[Trial] | None = None
    known: Mapping[str, Measurement] = field(default_factory=dict)
    elsewhere: Set[str] = frozenset()


def attempt(bench: Bench, job: Job, path: Path) -> Trial:
    """Build and measure a policy, as a job says.

    What the candidate is to blame for is not raised; it becomes the trial's status and reason.

    Args:
        path: scratch file for the artifact.

    Raises:
        MachineError: no candidate could be attempted now.
        OutOfTime: it was given up.

    Returns:
        a trial without a number, and without what is measured elsewhere later.
    """
    policy = job.policy
    seconds: dict[str, float] = {}
    try:
        if job.rivals is None:
            here = {m.name for m in bench.info.metrics} - job.known.keys() - job.elsewhere
            all_here = len(here) == len(bench.info.metrics)
            only = None if all_here else here
            artifact, found = _measured(bench, policy, job.split, path, seconds, only)
            measurements = {**job.known, **found}
        else:
            artifact, finish = _raced(bench, job, path, seconds)
            measurements = dict(finish.measurements)
            if finish.broken:
                ended = _ended(TrialStatus.INFEASIBLE, policy, finish.broken, seconds)
                return replace(ended, measurements=measurements, artifact_sha256=artifact.sha256)
    except Exception as error:  # one broken candidate must not end the night
        if (fault := machine_error(error)) is not None:
            raise fault from error
        if isinstance(error, OutOfTime):
            raise
        return failed(policy, error, seconds)
    return _complete(policy, artifact, measurements, seconds)


def failed(policy: Policy, error: Exception, seconds: Mapping[str, float]) -> Trial:
    """The trial of an attempt that raised an error."""
    if isinstance(error, Infeasible):
        return _ended(TrialStatus.INFEASIBLE, policy, str(error), seconds)
    if isinstance(error, TransientError):
        return _ended(TrialStatus.FAILED, policy, f"{TRANSIENT}{error}", seconds)
    if isinstance(error, ParetuneError):
        return _ended(TrialStatus.FAILED, policy, str(error), seconds)
    return _ended(TrialStatus.FAILED, policy, f"{type(error).__name__}: {error}", seconds)


def attempt_reference(bench: Bench, path: Path) -> Trial:
    """Build and measure the policy that leaves the model as it is, as far as the space allows.

    Raises:
        UserError: the data or the model cannot be measured at all.
    """
    policy = bench.space.uniform(Precision.FP32)
    seconds: dict[str, float] = {}
    try:
        artifact, measurements = _measured(bench, policy, "search", path, seconds)
    except (Infeasible, CandidateError, TransientError) as error:
        raise UserError(f"the uncompressed model cannot be measured: {error}") from error
    return _complete(policy, artifact, measurements, seconds)


def measure_again(
    bench: Bench,
    policy: Policy,
    split: SplitName,
    path: Path,
    only: Set[str] | None = None,
) -> Mapping[str, Measurement]:
    """Build a policy's artifact anew and measure it afresh.

    Args:
        only: names of the metrics to measure; None for all.

    Raises:
        Infeasible, CandidateError, TransientError: it cannot be measured now.
    """
    return _measured(bench, policy, split, path, {}, only)[1]


def _measured(
    bench: Bench,
    policy: Policy,
    split: SplitName,
    path: Path,
    seconds: dict[str, float],
    only: Set[str] | None = None,
) -> tuple[Artifact, Mapping[str, Measurement]]:
    with _timed(seconds, "total"):
        artifact = _built(bench, policy, path, seconds)
        measurements, spent = _again_if_transient(
            lambda: (
                bench.measure(artifact, split)
                if only is None
                else bench.measure_only(artifact, split, only)
            )
        )
        seconds |= spent
        _require_all(bench, measurements, only)
        return artifact, measurements


def _raced(
    bench: Bench, job: Job, path: Path, seconds: dict[str, float]
) -> tuple[Artifact, Finish]:
    assert job.rivals is not None
    with _timed(seconds, "total"):
        artifact = _built(bench, job.policy, path, seconds)

        def take(metrics: Set[str], part: Part) -> Mapping[str, Measurement]:
            found, spent = _again_if_transient(
                lambda: bench.measure_only(artifact, "search", metrics, part)
            )
            for name, more in spent.items():
                seconds[name] = seconds.get(name, 0.0) + more
            _require_all(bench, found, metrics)
            return found

        finish = race(bench.info, job.rivals, take, job.known, job.elsewhere)
        return artifact, finish


def _built(bench: Bench, policy: Policy, path: Path, seconds: dict[str, float]) -> Artifact:
    with _timed(seconds, "apply"):
        artifact = _again_if_transient(lambda: bench.apply(policy, path))
    if artifact.policy != policy:
        got = dict(artifact.policy.items)
        wrong = [
            f"{name}: {got.get(name)} instead of {c}" for name, c in policy if got.get(name) != c
        ]
        raise Infeasible(f"the artifact is not what was asked for: {'; '.join(wrong) or 'order'}")
    return artifact


def _require_all(bench: Bench, found: Mapping[str, Measurement], only: Set[str] | None) -> None:
    wanted = [m.name for m in bench.info.metrics if only is None or m.name in only]
    if missing := [name for name in wanted if name not in found]:
        raise RuntimeError(f"the evaluators measured no {', '.join(missing)}")


@contextmanager
def _timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    begin = time.perf_counter()
    try:
        yield
    finally:
        seconds[part] = time.perf_counter() - begin


def _again_if_transient(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except TransientError:
        return work()


def _complete(
    policy: Policy,
    artifact: Artifact,
    measurements: Mapping[str, Measurement],
    seconds: Mapping[str, float],
) -> Trial:
    return Trial(
        number=-1,
        status=TrialStatus.COMPLETE,
        policy=policy,
        measurements=measurements,
        artifact_sha256=artifact.sha256,
        seconds=seconds,
        finished_at=time.time(),
    )


def _ended(status: TrialStatus, policy: Policy, reason: str, seconds: Mapping[str, float]) -> Trial:
    return Trial(
        number=-1,
        status=status,
        policy=policy,
        reason=reason,
        seconds=seconds,
        finished_at=time.time(),
    )

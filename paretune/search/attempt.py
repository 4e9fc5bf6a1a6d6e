"""One attempt: a policy is built and measured, and whatever happens becomes a trial."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from paretune.errors import (
    CandidateError,
    Infeasible,
    ParetuneError,
    TransientError,
    UserError,
)
from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.evaluators.part import Part
from paretune.search.info import StudyInfo
from paretune.search.racing import Finish, race
from paretune.search.trial import TRANSIENT, Trial, TrialStatus
from paretune.spaces import Policy, Precision, Space

_T = TypeVar("_T")
Measured = tuple[Mapping[str, Measurement], Mapping[str, float]]


class Bench(Protocol):
    """What makes and measures models: a `Workbench`, or something simpler in a test."""

    @property
    def space(self) -> Space: ...
    @property
    def info(self) -> StudyInfo: ...
    def apply(self, policy: Policy, path: Path) -> Artifact: ...
    def measure(self, artifact: Artifact, split: SplitName) -> Measured: ...
    def measure_only(
        self,
        artifact: Artifact,
        split: SplitName,
        metrics: Set[str],
        part: Part | None = None,
    ) -> Measured: ...


def attempt(
    bench: Bench, policy: Policy, path: Path, rivals: Sequence[Trial] | None = None
) -> Trial:
    """Build and measure a policy during the search.

    What the candidate is to blame for is not raised; it becomes the trial's status and reason.

    Args:
        policy: canonical.
        path: scratch file for the artifact.
        rivals: the front, to race against; None measures everything in any case.

    Returns:
        a trial without a number.
    """
    seconds: dict[str, float] = {}
    try:
        if rivals is None:
            artifact, measurements = _measured(bench, policy, "search", path, seconds)
        else:
            artifact, finish = _raced(bench, policy, path, seconds, rivals)
            measurements = finish.measurements
            if finish.broken:
                ended = _ended(TrialStatus.INFEASIBLE, policy, finish.broken, seconds)
                return replace(ended, measurements=measurements, artifact_sha256=artifact.sha256)
    except Infeasible as error:
        return _ended(TrialStatus.INFEASIBLE, policy, str(error), seconds)
    except TransientError as error:
        return _ended(TrialStatus.FAILED, policy, f"{TRANSIENT}{error}", seconds)
    except ParetuneError as error:
        return _ended(TrialStatus.FAILED, policy, str(error), seconds)
    except Exception as error:  # noqa: BLE001 - one broken candidate must not end the night
        return _ended(TrialStatus.FAILED, policy, f"{type(error).__name__}: {error}", seconds)
    return _complete(policy, artifact, measurements, seconds)


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
    bench: Bench, policy: Policy, path: Path, seconds: dict[str, float], rivals: Sequence[Trial]
) -> tuple[Artifact, Finish]:
    with _timed(seconds, "total"):
        artifact = _built(bench, policy, path, seconds)

        def take(metrics: Set[str], part: Part) -> Mapping[str, Measurement]:
            found, spent = _again_if_transient(
                lambda: bench.measure_only(artifact, "search", metrics, part)
            )
            for name, more in spent.items():
                seconds[name] = seconds.get(name, 0.0) + more
            _require_all(bench, found, metrics)
            return found

        return artifact, race(bench.info, rivals, take)


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

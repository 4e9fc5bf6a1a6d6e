"""Who does what, and when: places that the test lets go on by hand."""

from dataclasses import replace
from typing import Any, cast

import pytest

from paretune.errors import TransientError, UserError
from paretune.search.attempt import Job
from paretune.search.cluster.crew import ClusterCrew, merged
from paretune.search.cluster.lanes import Lane
from paretune.search.cluster.workers import Workers
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Policy
from tests.search.cluster.by_hand import ByHand, complete
from tests.search.fake import figures, make_info
from tests.search.racing import policies

INFO = make_info()
ANSWERS = frozenset({"accuracy", "size_bytes"})
LATENCY = frozenset({"latency_ms"})


def crew_of(workers: ByHand, *lanes: ByHand) -> ClusterCrew:
    return ClusterCrew(INFO, cast(Workers, workers), cast(list[Lane], lanes))


def started(slots: int = 2, jobs: int = 3) -> tuple[ClusterCrew, ByHand, ByHand, list[Policy]]:
    workers, lane = ByHand(ANSWERS, slots), ByHand(LATENCY)
    crew, asked = crew_of(workers, lane), policies(jobs)
    for policy in asked:
        crew.start(Job(policy))
    return crew, workers, lane, asked


def test_a_trial_is_what_the_worker_and_the_device_measure() -> None:
    crew, workers, lane, (first, *_) = started()
    workers.end(first)
    assert crew.ended() == []
    lane.end(first)
    (trial,) = crew.ended()
    assert trial.measurements == figures(first)
    assert list(trial.measurements) == [metric.name for metric in INFO.metrics]
    assert trial.status is TrialStatus.COMPLETE


def test_nobody_idles_and_nobody_is_asked_twice() -> None:
    crew, workers, lane, asked = started(slots=2, jobs=3)
    # Two slots, and one call ahead.
    assert workers.asked == asked
    assert lane.asked == asked[:1]
    lane.end(asked[0])
    crew.ended()
    assert lane.asked == asked[:2]
    for policy in asked:
        workers.end(policy)
    (trial,) = crew.ended()
    assert trial.policy == asked[0]
    lane.end(asked[1])
    (trial,) = crew.ended()
    assert trial.policy == asked[1]
    assert lane.asked == asked
    assert workers.asked == asked


def test_a_device_prefers_what_has_good_answers() -> None:
    crew, workers, lane, asked = started(slots=3, jobs=4)
    workers.end(asked[3])
    crew.ended()
    lane.end(asked[0])
    crew.ended()
    assert lane.asked == [asked[0], asked[3]]


def test_a_worker_prefers_what_has_a_latency_and_is_told_of_it() -> None:
    crew, workers, lane, asked = started(slots=1, jobs=4)
    assert workers.asked == asked[:2]
    # The device begins with what no worker is at.
    for policy in (asked[0], asked[2], asked[3]):
        lane.end(policy)
        crew.ended()
    workers.end(asked[0])
    crew.ended()
    assert workers.asked == [asked[0], asked[1], asked[2]]
    last = workers.jobs[-1]
    assert last.known == {"latency_ms": figures(asked[2])["latency_ms"]}
    assert not last.elsewhere
    assert workers.jobs[0].elsewhere == LATENCY


def test_what_one_place_rules_out_is_over() -> None:
    crew, workers, lane, asked = started(slots=1, jobs=3)
    bad = Trial(-1, TrialStatus.INFEASIBLE, asked[1], reason="no")
    workers.end_with(asked[1], bad)
    assert crew.ended() == [bad]
    lane.end(asked[0])
    crew.ended()
    assert lane.asked == [asked[0], asked[2]]


def test_what_comes_too_late_is_dropped() -> None:
    crew, workers, lane, (first, *_) = started()
    workers.end_with(first, Trial(-1, TrialStatus.FAILED, first, reason="broke"))
    assert len(crew.ended()) == 1
    lane.end(first)
    assert crew.ended() == []


@pytest.mark.parametrize(
    ("error", "transient"), [(TransientError("gone"), True), (ValueError("odd"), False)]
)
def test_an_error_of_a_place_is_the_trials(error: Exception, *, transient: bool) -> None:
    crew, workers, _, (first, *_) = started()
    workers.fail(first, error)
    (trial,) = crew.ended()
    assert trial.status is TrialStatus.FAILED
    assert trial.transient is transient
    assert str(error) in trial.reason


def test_workers_that_cannot_take_part_end_the_search() -> None:
    crew, workers, _, (first, *_) = started()
    workers.fail(first, UserError("no worker can take part: no module"))
    with pytest.raises(UserError, match="no module"):
        crew.ended()


def test_how_many_are_taken_follows_the_workers() -> None:
    workers, lane = ByHand(ANSWERS, 0), ByHand(LATENCY)
    crew = crew_of(workers, lane)
    assert crew.free == 2
    for policy in policies(2):
        crew.start(Job(policy))
    assert crew.free == 0
    assert not workers.jobs
    workers.count = 8
    crew.ended()
    assert len(workers.jobs) == 2
    assert crew.free == 12


def test_without_a_device_the_workers_do_it_all() -> None:
    workers = ByHand({metric.name for metric in INFO.metrics}, 2)
    crew, (first, *_) = crew_of(workers), policies(1)
    crew.start(Job(first))
    workers.end(first)
    (trial,) = crew.ended()
    assert trial.measurements == figures(first)


def test_an_artifact_with_other_bytes_is_no_trial() -> None:
    crew, workers, lane, (first, *_) = started()
    workers.end(first, "abcdef0123456789")
    lane.end(first, "0123456789abcdef")
    (trial,) = crew.ended()
    assert trial.status is TrialStatus.FAILED
    assert "0123456789ab and abcdef012345" in trial.reason


def test_what_is_done_at_the_same_time_is_counted_once() -> None:
    (policy,) = policies(1)
    parts: list[Trial] = []
    for names, spent in ((ANSWERS, {"total": 2.0, "accuracy": 1.9}), (LATENCY, {"total": 0.5})):
        found: dict[str, Any] = {n: m for n, m in figures(policy).items() if n in names}
        parts.append(replace(complete(policy, found), seconds=spent))
    assert merged(parts, INFO).seconds == {"total": 2.0, "accuracy": 1.9}

"""One job at a time, in order, and none for a client that is gone."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from paretune.errors import (
    CandidateError,
    Infeasible,
    InferenceError,
    TransientError,
    UserError,
)
from paretune.evaluators.devices.agent import queue as module
from paretune.evaluators.devices.agent.queue import JobQueue, QueueFull
from paretune.evaluators.measuring.job import Job
from tests.evaluators.devices.agent.fake import JOB, RESULT, FakeDevice

Test = Callable[[JobQueue, FakeDevice], Awaitable[None]]
LEASE = 1e4


class Loop(asyncio.SelectorEventLoop):
    """Its clock can be put forward, so that no test waits for a lease or races with one."""

    ahead = 0.0
    guard: asyncio.Timeout

    def time(self) -> float:
        return super().time() + self.ahead


async def later(leases: float) -> None:
    """Put the clock forward, and let happen what is due."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    loop.ahead += leases * LEASE
    loop.guard.reschedule((loop.guard.when() or 0) + leases * LEASE)
    await some()


def job(number: int) -> Job:
    return replace(JOB, options={"number": number})


def numbers(jobs: list[Job]) -> list[int]:
    return [job.options["number"] for job in jobs]


def submit(queue: JobQueue, *ids: str) -> None:
    for job_id in ids:
        queue.submit(job_id, JOB, job(int(job_id)))


async def state(queue: JobQueue, job_id: str, seconds: float = 0.0) -> Any:
    return json.loads(await queue.wait(job_id, seconds))


async def until(queue: JobQueue, job_id: str, wanted: str) -> Any:
    while (found := await state(queue, job_id, 10))["state"] != wanted:
        pass
    return found


async def some() -> None:
    await asyncio.sleep(0.01)


def check(test: Test, *, waiting: int = 8) -> FakeDevice:
    async def run() -> None:
        queue = JobQueue(device, LEASE, waiting)
        worker = asyncio.create_task(queue.run())
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Loop)
        loop.guard = asyncio.timeout(60)
        try:
            async with loop.guard:
                await test(queue, device)
        finally:
            queue.end()
            await worker

    device = FakeDevice()
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(run())
    return device


def test_jobs_run_one_after_the_other_in_their_order() -> None:
    async def test(queue: JobQueue, device: FakeDevice) -> None:
        submit(queue, "1", "2", "3")
        await until(queue, "1", "running")
        assert await state(queue, "2") == {"state": "queued", "position": 1}
        assert await state(queue, "3") == {"state": "queued", "position": 2}
        device.finish()
        await until(queue, "2", "running")
        assert (await state(queue, "3"))["position"] == 1
        device.finish(2)
        assert (await until(queue, "3", "done"))["result"] == json.loads(
            json.dumps(RESULT.to_dict())
        )

    assert numbers(check(test).seen) == [1, 2, 3]


def test_progress_is_told() -> None:
    async def test(queue: JobQueue, device: FakeDevice) -> None:
        submit(queue, "1")
        while not device.seen:
            await some()
        assert await state(queue, "1") == {"state": "running", "doing": "warming up"}

    check(test)


def test_a_poll_returns_at_once_when_the_state_changes() -> None:
    async def test(queue: JobQueue, device: FakeDevice) -> None:
        submit(queue, "1")
        await until(queue, "1", "running")
        poll = asyncio.create_task(state(queue, "1", 1e3))
        await some()
        assert not poll.done()
        device.finish()
        assert (await poll)["state"] == "done"
        # For good.
        assert (await state(queue, "1", 1e3))["state"] == "done"

    check(test)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InferenceError("x"), "inference"),
        (CandidateError("x"), "candidate"),
        (Infeasible("x"), "infeasible"),
        (TransientError("x"), "transient"),
        (UserError("x"), "user"),
        (OSError(28, "x"), "transient"),
    ],
)
def test_failures_travel(error: Exception, kind: str) -> None:
    async def test(queue: JobQueue, device: FakeDevice) -> None:
        device.failures.append(error)
        submit(queue, "1", "2")
        device.finish(2)
        failed = await until(queue, "1", "failed")
        assert failed["error"]["kind"] == kind
        assert "x" in failed["error"]["message"]
        await until(queue, "2", "done")

    check(test)


def test_a_bug_is_logged_and_the_next_job_runs(caplog: pytest.LogCaptureFixture) -> None:
    async def test(queue: JobQueue, device: FakeDevice) -> None:
        device.failures.append(ZeroDivisionError("a bug"))
        submit(queue, "1", "2")
        device.finish(2)
        assert (await until(queue, "1", "failed"))["error"]["kind"] == "transient"
        await until(queue, "2", "done")

    with caplog.at_level(logging.ERROR):
        check(test)
    assert "ZeroDivisionError: a bug" in caplog.text
    assert "Traceback" in caplog.text


def test_a_job_is_cancelled_while_it_waits_or_runs() -> None:
    async def test(queue: JobQueue, device: FakeDevice) -> None:
        submit(queue, "1", "2", "3")
        await until(queue, "1", "running")
        poll = asyncio.create_task(state(queue, "2", 1e3))
        await some()
        queue.cancel("2")
        with pytest.raises(KeyError):
            await poll
        queue.cancel("1")
        queue.cancel("1")
        assert "1" not in queue
        await until(queue, "3", "running")
        device.finish()
        await until(queue, "3", "done")

    device = check(test)
    assert numbers(device.seen) == [1, 3]
    assert numbers(device.ended) == [1]


def test_a_client_that_is_gone_loses_the_device() -> None:
    async def test(queue: JobQueue, device: FakeDevice) -> None:
        submit(queue, "1", "2")
        await until(queue, "1", "running")
        poll = asyncio.create_task(until(queue, "2", "running"))
        await some()
        # Nobody asks for 1.
        await later(1)
        await poll
        with pytest.raises(KeyError):
            await queue.wait("1", 0)
        # Asking keeps 2, in one long poll as well as in short ones.
        poll = asyncio.create_task(state(queue, "2", 5 * LEASE))
        await some()
        await later(3)
        assert not poll.done()
        await later(3)
        assert (await poll)["state"] == "running"
        for _ in range(5):
            await later(0.9)
            assert (await state(queue, "2"))["state"] == "running"
        device.finish()
        await until(queue, "2", "done")

    assert numbers(check(test).ended) == [1]


def test_an_outcome_waits_longer_for_its_client() -> None:
    async def test(queue: JobQueue, device: FakeDevice) -> None:
        submit(queue, "1")
        device.finish()
        await until(queue, "1", "done")
        await later(9)
        assert (await state(queue, "1"))["state"] == "done"
        await later(11)
        assert "1" not in queue

    check(test)


def test_only_so_many_outcomes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KEPT", 2)

    async def test(queue: JobQueue, device: FakeDevice) -> None:
        submit(queue, "1", "2", "3")
        device.finish(3)
        await until(queue, "3", "done")
        assert [job_id in queue for job_id in "123"] == [False, True, True]

    check(test)


def test_a_full_queue_refuses() -> None:
    async def test(queue: JobQueue, device: FakeDevice) -> None:
        submit(queue, "1")
        await until(queue, "1", "running")
        submit(queue, "2", "3")
        with pytest.raises(QueueFull):
            submit(queue, "4")
        queue.cancel("2")
        submit(queue, "4")

    check(test, waiting=2)


def test_files_are_in_use_until_the_job_ends() -> None:
    async def test(queue: JobQueue, device: FakeDevice) -> None:
        submit(queue, "1")
        assert queue.files_in_use() == set(JOB.files.values())
        device.finish()
        await until(queue, "1", "done")
        assert not queue.files_in_use()

    check(test)


def test_the_end_cancels_all_and_takes_no_more() -> None:
    async def test(queue: JobQueue, device: FakeDevice) -> None:
        submit(queue, "1", "2")
        await until(queue, "1", "running")
        polls = [asyncio.create_task(state(queue, job_id, 1e3)) for job_id in "12"]
        await some()
        queue.end()
        assert all(
            isinstance(x, KeyError) for x in await asyncio.gather(*polls, return_exceptions=True)
        )
        with pytest.raises(QueueFull):
            submit(queue, "3")

    assert numbers(check(test).ended) == [1]

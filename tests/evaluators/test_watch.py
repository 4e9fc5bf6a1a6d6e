"""What is said of evaluators that work, and of those that only wait for a device."""

from paretune.evaluators.measuring.job import Job, Limits, Setup
from paretune.evaluators.measuring.result import Result
from paretune.evaluators.watch import Watch, WatchedDevice

JOB = Job("latency", Setup(), {}, {}, Limits(1.0))


class FakeDevice:
    machine = "pi"
    closed = False

    def run(self, job: Job) -> Result:
        assert job is JOB
        return Result({})

    def close(self) -> None:
        self.closed = True


def test_those_that_work_are_told_first() -> None:
    told: list[tuple[str, bool]] = []
    watch = Watch(lambda text, waiting: told.append((text, waiting)))
    device = FakeDevice()
    watched = WatchedDevice(device, watch, "latency@pi")
    assert watched.machine == "pi"
    with watch.working("latency@pi"):
        assert watched.run(JOB) == Result({})
        with watch.working("accuracy"), watch.waiting("latency@pi"):
            pass
    assert told == [
        ("measuring latency@pi", False),
        ("measuring latency@pi", True),
        ("measuring latency@pi", False),
        ("measuring latency@pi and accuracy", False),
        ("measuring accuracy", False),
        ("measuring accuracy and latency@pi", False),
        ("measuring latency@pi", False),
        ("", False),
    ]
    watched.close()
    assert device.closed


def test_waiting_while_it_is_created_leaves_no_trace() -> None:
    told: list[tuple[str, bool]] = []
    watch = Watch(lambda text, waiting: told.append((text, waiting)))
    WatchedDevice(FakeDevice(), watch, "latency").run(JOB)
    assert told == [("measuring latency", True), ("", False)]

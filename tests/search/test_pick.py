"""Picking: three files or none, the measured bytes, the recorded figures."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from paretune.errors import UserError
from paretune.evaluators import Artifact, Measurement, SplitName
from paretune.evaluators.part import Part
from paretune.search.config import TrackingSection
from paretune.search.constraint import Constraint
from paretune.search.info import StudyInfo
from paretune.search.pick import NotReproduced, pick
from paretune.search.rule import MaxDrop, NothingPicked, TrialNumber
from paretune.search.store import StudyStore
from paretune.search.trial import Trial, TrialStatus
from paretune.spaces import Choice, Policy, Space
from tests import models
from tests.search.synthetic import ACCURACY, LATENCY, SIZE, make_device_info, make_info

LAYERS = ("fc1", "fc2")


class SmallBench:
    """Builds a small model from a policy's seed and measures it: real bytes, real outputs."""

    space: Space

    def __init__(self) -> None:
        self.info: StudyInfo = make_info((ACCURACY, LATENCY), (ACCURACY, LATENCY, SIZE))
        self.shift = 0.0
        self.seed = 0
        self.latency = 1.0

    def apply(self, policy: Policy, path: Path) -> Artifact:
        models.mlp(path, seed=self.seed + int(policy.key[:6], 16))
        return Artifact(path, policy, hashlib.sha256(path.read_bytes()).hexdigest())

    def measure(
        self, artifact: Artifact, split: SplitName
    ) -> tuple[Mapping[str, Measurement], Mapping[str, float]]:
        x = np.random.default_rng(len(split)).standard_normal((64, 8)).astype(np.float32)
        session = onnxruntime.InferenceSession(artifact.path)
        answers = np.asarray(session.run(None, {"x": x})[0]).argmax(axis=1)
        accuracy = float((answers == 0).mean()) + self.shift
        self.latency += 0.125
        taken = {"split": split, "threads": 1}
        return {
            "accuracy": Measurement(accuracy, accuracy - 0.1, accuracy + 0.1, conditions=taken),
            "latency_ms": Measurement(
                self.latency, self.latency - 0.01, self.latency + 0.01, conditions={"threads": 1}
            ),
            "size_bytes": Measurement(float(artifact.path.stat().st_size)),
        }, {"accuracy": 0.1}

    def measure_only(
        self, artifact: Artifact, split: SplitName, metrics: Set[str], part: Part | None = None
    ) -> tuple[Mapping[str, Measurement], Mapping[str, float]]:
        raise AssertionError("a pick measures all")

    def ahead(self, policies: Sequence[Policy], split: SplitName) -> None:
        raise AssertionError("a pick measures one")


@pytest.fixture
def bench() -> SmallBench:
    return SmallBench()


@pytest.fixture
def store(bench: SmallBench, tmp_path: Path) -> Iterator[StudyStore]:
    """Four policies, measured, confirmed and tested."""
    with StudyStore.create(tmp_path / "study", bench.info) as made:
        for number, choices in enumerate(
            [("fp32", "fp32"), ("int8", "int8"), ("int8", "fp32"), ("fp16", "int8")]
        ):
            policy = Policy.of({n: Choice.parse(c) for n, c in zip(LAYERS, choices, strict=True)})
            artifact = bench.apply(policy, tmp_path / "model.onnx")
            made.record(
                Trial(
                    number,
                    TrialStatus.COMPLETE,
                    policy,
                    bench.measure(artifact, "search")[0],
                    artifact_sha256=artifact.sha256,
                    finished_at=1.7e9 + number,
                )
            )
            made.set_confirmed(number, bench.measure(artifact, "search")[0])
            made.set_test(number, bench.measure(artifact, "test")[0])
        yield made


def test_pick_writes_the_measured_model(store: StudyStore, bench: SmallBench) -> None:
    picked = pick(store, bench, TrialNumber(1))
    trial = store.trials()[1]
    assert picked.trial == trial
    assert picked.folder == store.folder / "picks" / "trial-1"
    assert picked.registered is None
    assert picked.repeated == ("accuracy", "size_bytes")
    digest = hashlib.sha256(picked.model.read_bytes()).hexdigest()
    assert digest == trial.artifact_sha256
    assert Policy.from_json(picked.policy.read_text()) == trial.policy
    assert {path.name for path in picked.folder.iterdir()} == {
        "model.onnx",
        "policy.json",
        "report.md",
    }
    assert [path.name for path in picked.folder.parent.iterdir()] == ["trial-1"]


def test_report_tells_the_whole_story(store: StudyStore, bench: SmallBench) -> None:
    rule = MaxDrop(1.0, "latency_ms")
    picked = pick(store, bench, rule)
    page = picked.report.read_text()
    assert f"trial {picked.trial.number}" in page
    assert str(rule) in page
    row = next(line for line in page.splitlines() if line.startswith("| latency (ms)"))
    search, test = picked.trial.confirmed["latency_ms"], picked.trial.test["latency_ms"]
    assert f"{search.value:.3f} ±0.010" in row
    assert f"{test.value:.3f} ±0.010" in row
    assert "uniform int8 (trial 1): search" in page
    assert picked.trial.artifact_sha256 in page
    for layer, choice in picked.trial.policy:
        assert f"| {layer} | {choice} |" in page
    assert "accuracy: split search, threads 1" in page


def test_the_reports_code_runs(
    store: StudyStore, bench: SmallBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    picked = pick(store, bench, TrialNumber(2))
    code = re.search(r"```python\n(.*?)```", picked.report.read_text(), re.DOTALL)
    assert code is not None
    monkeypatch.chdir(picked.folder)
    names = {"x": np.zeros((3, 8), np.float32)}
    exec(code[1], names)
    assert names["outputs"][0].shape == (3, 4)


def test_picking_again_replaces_the_folder(store: StudyStore, bench: SmallBench) -> None:
    first = pick(store, bench, TrialNumber(1))
    (first.folder / "stale.txt").write_text("from an earlier version")
    again = pick(store, bench, TrialNumber(1))
    assert not (again.folder / "stale.txt").exists()
    assert [path.name for path in again.folder.parent.iterdir()] == ["trial-1"]


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("seed", 1, "cannot be built again: its model had the SHA-256"),
        ("shift", 2.0**-50, "does not repeat its accuracy: recorded"),
    ],
)
def test_what_is_not_reproduced_is_not_written(
    store: StudyStore, bench: SmallBench, attribute: str, value: float, message: str
) -> None:
    pick(store, bench, TrialNumber(1))
    before = (store.folder / "picks" / "trial-1" / "report.md").read_bytes()
    setattr(bench, attribute, value)
    for number in (1, 2):
        with pytest.raises(NotReproduced, match=message):
            pick(store, bench, TrialNumber(number))
    assert [path.name for path in (store.folder / "picks").iterdir()] == ["trial-1"]
    assert (store.folder / "picks" / "trial-1" / "report.md").read_bytes() == before


def test_nothing_is_written_when_nothing_is_picked(store: StudyStore, bench: SmallBench) -> None:
    with pytest.raises(NothingPicked):
        pick(store, bench, MaxDrop(-2.0, "latency_ms"))
    assert not (store.folder / "picks").exists()


def test_output_folder_is_the_users(store: StudyStore, bench: SmallBench, tmp_path: Path) -> None:
    picked = pick(store, bench, TrialNumber(0), output=tmp_path / "shipped")
    assert picked.model == tmp_path / "shipped" / "model.onnx"
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to the folder"):
        pick(store, bench, TrialNumber(0), output=tmp_path / "file" / "below")


def test_dead_registry_is_said_before_anything_is_written(
    store: StudyStore, bench: SmallBench
) -> None:
    section = TrackingSection(uri="http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot reach MLflow at 'http://127.0.0.1:9'"):
        pick(store, bench, TrialNumber(1), tracking=section)
    assert not (store.folder / "picks").exists()
    off = section.model_copy(update={"enabled": False})
    assert pick(store, bench, TrialNumber(1), tracking=off).registered is None


class DevicesBench(SmallBench):
    """The same with latencies on two devices, which can be switched off.

    Attributes:
        latencies: artifact's SHA-256 to ms on `pi` and on `server`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.info = make_device_info([Constraint("latency_ms@server", "<=", 10.0)])
        self.latencies: dict[str, tuple[float, float]] = {}
        self.off = False

    def measure(
        self, artifact: Artifact, split: SplitName
    ) -> tuple[Mapping[str, Measurement], Mapping[str, float]]:
        measured, seconds = super().measure(artifact, split)
        here = {name: found for name, found in measured.items() if name != "latency_ms"}
        if self.off:
            return here, seconds
        there = {
            # Exact, as a figure without an interval is; a device need not repeat it all the same.
            f"latency_ms@{device}": Measurement(ms, conditions={"host": device}, flags=flags)
            for device, ms, flags in zip(
                ("pi", "server"), self.latencies[artifact.sha256], (("disturbed",), ()), strict=True
            )
        }
        return {**here, **there}, seconds


def test_each_device_has_its_own_pick(tmp_path: Path) -> None:
    bench = DevicesBench()
    # Trial 1 is the fastest on pi but too slow on the server; trial 2 is the fastest there.
    latencies = [(5.0, 9.0), (1.0, 50.0), (3.0, 2.0)]
    with StudyStore.create(tmp_path / "study", bench.info) as store:
        for number, (ms, choice) in enumerate(
            zip(latencies, ("fp32", "int8", "fp16"), strict=True)
        ):
            policy = Policy.of({name: Choice.parse(choice) for name in LAYERS})
            artifact = bench.apply(policy, tmp_path / "model.onnx")
            bench.latencies[artifact.sha256] = ms
            measured, _ = bench.measure(artifact, "search")
            sha = artifact.sha256
            store.record(Trial(number, TrialStatus.COMPLETE, policy, measured, artifact_sha256=sha))
        bench.off = True
        rule = MaxDrop(2.0, "latency_ms")
        on_pi = pick(store, bench, rule, device="pi")
        on_server = pick(store, bench, rule, device="server")
        with pytest.raises(UserError, match="no device 'phone'; the study 'synthetic' measured on"):
            pick(store, bench, rule, device="phone")
        recorded = store.trials()
    assert (on_pi.trial, on_server.trial) == (recorded[1], recorded[2])
    assert on_pi.trial.violations == ("latency_ms@server <= 10",)
    assert on_pi.folder == tmp_path / "study" / "picks" / "pi-trial-1"
    assert on_server.folder.name == "server-trial-2"
    assert on_pi.repeated == ("accuracy", "size_bytes")
    page = on_pi.report.read_text()
    assert page.startswith("# synthetic on pi: trial 1")
    assert "a member of the front" in page
    assert "| latency@pi (ms) | 1 ~ |" in page
    assert "~ marks doubtful figures: latency_ms@pi: disturbed." in page
    # What the server wants is no matter on pi.
    assert "server" not in page
    assert "~" not in on_server.report.read_text()

"""A workbench from a kit is the driver's: on its machine in place, elsewhere from one copy."""

import copy
import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import onnx
import pytest
from starlette.responses import FileResponse

from paretune.errors import TransientError, UserError
from paretune.evaluators import Artifact, fingerprint
from paretune.evaluators.isolation.spool import MappedSplits
from paretune.search.backends.onnx import backend
from paretune.search.backends.onnx.pieces import PieceStore
from paretune.search.cluster import fetching, serving
from paretune.search.cluster import kit as module
from paretune.search.cluster.fetching import sha256_of
from paretune.search.cluster.kit import Kit, pack, unpack
from paretune.search.cluster.serving import FileServer
from paretune.search.config import Config
from paretune.search.preparing import compress_choices
from paretune.search.seeds import seed_policies
from paretune.search.workbench import Workbench, declared_metrics, needs_no_device, prepare
from tests import models
from tests.search import tiny

WORKER = """
import pickle, sys
from pathlib import Path
from paretune.evaluators import fingerprint
from paretune.search.cluster import kit as module

module.machine_id = lambda: "another machine"
kit = pickle.loads(Path(sys.argv[1]).read_bytes())
print("ready", flush=True)
sys.stdin.readline()
config, splits = module.unpack(kit)
(evaluator,) = config.evaluators
hits = evaluator.options["functions"]["hits"]["function"]
print(config.output, fingerprint(splits), hits.__module__)
"""

METRICS = """
def hits(outputs, targets):
    return outputs["logits"].argmax(axis=1) == targets
"""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """The driver's; its metric is a function in a module beside the config."""
    folder = tmp_path_factory.mktemp("project")
    models.cnn(folder / "tiny.onnx", channels=16)
    (folder / "tiny_data.py").write_text(tiny.DATA)
    (folder / "tiny_metrics.py").write_text(METRICS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        import tiny_metrics  # type: ignore[import-not-found]

        function = {"function": tiny_metrics.hits, "direction": "maximize"}
        given = tiny.config(
            name="tiny",
            objectives=["hits", "size_bytes"],
            evaluators=[{"type": "accuracy", "functions": {"hits": function}}],
        )
        with Workbench.open(Config.of(given, folder, "tiny.yaml")) as bench:
            compress_choices(bench.prepared, bench.space)
            yield bench
    for name in ("tiny_data", "tiny_metrics"):
        sys.modules.pop(name, None)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each file was sent."""
    counter: Counter[Path] = Counter()

    class Counted(FileResponse):
        def __init__(self, path: Path, **more: Any) -> None:
            counter[path] += 1
            super().__init__(path, **more)

    monkeypatch.setattr(serving, "FileResponse", Counted)
    return counter


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer("127.0.0.1") as server:
        yield server


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of another machine, or of another folder on this one; see `leave`."""
    monkeypatch.setattr(fetching, "PAUSES_S", (0.0,))
    monkeypatch.setenv("PARETUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path / "cache"


def leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is on another machine from now on."""
    monkeypatch.setattr(module, "machine_id", lambda: "another machine")
    monkeypatch.chdir("/")


def forbid_preparing(monkeypatch: pytest.MonkeyPatch) -> None:
    def again(*_: object, **__: object) -> None:
        raise AssertionError("this was prepared before")

    for name in ("_clean", "_rescaled", "calibrate", "channel_order"):
        monkeypatch.setattr(backend, name, again)
    monkeypatch.setattr(PieceStore, "_save", again)


def values(bench: Workbench, artifact: Artifact) -> dict[str, float]:
    return {name: found.value for name, found in bench.measure(artifact, "search")[0].items()}


def test_elsewhere_the_workbench_is_the_same_and_nothing_is_made_again(
    bench: Workbench,
    server: FileServer,
    sent: Counter[Path],
    elsewhere: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kit = pack(bench, server)
    # Pieces that depend on a whole policy are not in the kit; they come out the same.
    made = [bench.apply(policy, tmp_path / "here.onnx") for policy in seed_policies(bench.space)]
    measured = values(bench, made[-1])
    leave(monkeypatch)
    config, splits = unpack(kit)
    assert config.output == elsewhere / kit.id
    assert set(sent.values()) == {1}
    with monkeypatch.context() as patch:
        forbid_preparing(patch)
        other = Workbench.open(config, splits, first=True, only=needs_no_device)
        compress_choices(other.prepared, other.space)
    with other:
        kit.require_same(other.identity)
        assert other.identity == bench.identity
        assert other.space.layers == bench.space.layers
        assert isinstance(other.splits, MappedSplits)
        assert other.splits.layout.path == elsewhere / kit.id / "data.spool"
        assert len(made) > 2
        for here in made:
            there = other.apply(here.policy, tmp_path / "there.onnx")
            assert there.sha256 == here.sha256
        assert there.path.read_bytes() == (tmp_path / "here.onnx").read_bytes()
        assert values(other, there) == measured
        assert set(measured) == {"hits", "size_bytes"}
    # A workbench takes nothing away with it.
    assert unpack(kit)[0].output == config.output
    assert set(sent.values()) == {1}


def test_on_the_same_machine_everything_stays_where_it_is(
    bench: Workbench,
    server: FileServer,
    sent: Counter[Path],
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = bench.config.base
    kit = pack(bench, server)
    # As a worker that was started somewhere else.
    monkeypatch.chdir("/")
    config, splits = unpack(pickle.loads(cloudpickle.dumps(kit)))
    assert config.output == Path(kit.source.output)
    assert config.output.samefile(project / "runs" / "tiny")
    assert Path(config.model).samefile(project / "tiny.onnx")
    assert isinstance(splits, MappedSplits)
    assert isinstance(bench.splits, MappedSplits)
    assert splits.layout.path == bench.splits.layout.path
    assert fingerprint(splits) == fingerprint(bench.splits)
    assert not sent
    assert not elsewhere.exists()
    assert str(project) in sys.path


def test_where_the_files_are_out_of_reach_they_are_fetched(
    bench: Workbench, server: FileServer, elsewhere: Path, tmp_path: Path
) -> None:
    """As in two containers on one machine."""
    kit = pack(bench, server)
    hidden = tuple(replace(file, origin=str(tmp_path / file.path)) for file in kit.files)
    source = replace(kit.source, output=str(tmp_path / "nowhere"))
    for number, other in enumerate((replace(kit, files=hidden), replace(kit, source=source))):
        config, splits = unpack(other, tmp_path / str(number))
        assert config.output == tmp_path / str(number) / kit.id
        assert fingerprint(splits) == fingerprint(bench.splits)
    assert not elsewhere.exists()


def test_processes_of_one_machine_fetch_each_file_once(
    bench: Workbench, server: FileServer, sent: Counter[Path], tmp_path: Path
) -> None:
    kit = pack(bench, server)
    (tmp_path / "kit").write_bytes(cloudpickle.dumps(kit))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path / "kit")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PARETUNE_CACHE": str(tmp_path / "cache")},
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    # Now all at once.
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    told = {process.communicate()[0] for process in processes}
    expected = f"{tmp_path / 'cache' / kit.id} {fingerprint(bench.splits)} tiny_metrics\n"
    assert told == {expected}
    assert [process.returncode for process in processes] == [0, 0]
    assert {sha256_of(path) for path in sent} == {file.sha256 for file in kit.files}
    assert set(sent.values()) == {1}


def test_a_kit_is_small_and_keeps_its_secrets(bench: Workbench, server: FileServer) -> None:
    kit = pack(bench, server)
    assert len(cloudpickle.dumps(kit)) < 1 << 16
    assert server.token not in repr(kit)
    assert kit == pickle.loads(cloudpickle.dumps(kit))
    assert len({kit, pack(bench, server)}) == 1


def test_workers_learn_no_way_to_devices_and_servers(
    bench: Workbench, server: FileServer, elsewhere: Path
) -> None:
    places = {
        "devices": {"pi": {"url": "http://board:8571", "token": "HUSH-device"}},
        "tracking": {"uri": "https://user:HUSH-mlflow@server"},
        "storage": "postgresql://user:HUSH-database@server/studies",
    }
    given = {**tiny.config(name="tiny"), **places, "objectives": ["accuracy", "latency_ms"]}
    driver = copy.copy(bench)
    driver.config = Config.of(given, bench.config.base, "tiny.yaml")
    kit = pack(driver, server)
    assert b"HUSH" not in cloudpickle.dumps(kit)
    config = unpack(kit)[0]
    assert declared_metrics(config) == declared_metrics(driver.config)
    assert not config.tracking.active
    assert config.storage is None


def test_a_kit_holds_no_drafts(bench: Workbench, server: FileServer) -> None:
    cache = bench.config.output / "cache"
    (cache / ".tmp").mkdir()
    (cache / ".tmp" / "file").write_text("")
    (cache / ".piece.draft").write_text("half")
    kit = pack(bench, server)
    (made,) = (path for path in cache.iterdir() if path.name == bench.prepared.fingerprint)
    names = {file.path for file in kit.files}
    assert not any(".tmp" in name or "draft" in name for name in names)
    assert {f"cache/{made.name}/{name}" for name in ("clean.onnx", "statistics.npz")} < names
    assert {"data.spool", "model/tiny.onnx"} < names


def test_the_id_tells_studies_and_files_apart(bench: Workbench, server: FileServer) -> None:
    kit = pack(bench, server)
    with FileServer("127.0.0.1") as other:
        assert pack(bench, other).id == kit.id
    (bench.config.output / "cache" / "more").write_text("a new piece")
    assert pack(bench, server).id != kit.id
    (bench.config.output / "cache" / "more").unlink()
    assert pack(bench, server).id == kit.id


def test_a_model_whose_weights_are_in_another_file(
    bench: Workbench, server: FileServer, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bench.config.base / "large"
    folder.mkdir()
    model = onnx.load(bench.model)
    onnx.save(
        model, folder / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    large = copy.copy(bench)
    large.model = folder / "m.onnx"
    kit = pack(large, server)
    leave(monkeypatch)
    config, splits = unpack(kit)
    forbid_preparing(monkeypatch)
    prepared, _ = prepare(config, splits)
    assert prepared.fingerprint == bench.prepared.fingerprint
    assert (Path(config.model).parent / "w.bin").is_relative_to(elsewhere)


def test_profiles_of_devices_travel_along(
    bench: Workbench, server: FileServer, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.config.base / "board.json").write_text("{}")
    devices = {"pi": {"type": "local", "profile": "board.json"}, "here": "local"}
    given = {**tiny.config(name="tiny"), "devices": devices, "objectives": ["accuracy"]}
    profiled = copy.copy(bench)
    profiled.config = Config.of(given, bench.config.base, "tiny.yaml")
    kit = pack(profiled, server)
    for expected in (bench.config.base / "board.json", elsewhere / kit.id / "profiles" / "pi.json"):
        found = unpack(kit)[0].devices
        assert found is not None
        assert found["pi"].profile == expected
        assert found["here"].profile is None
        assert expected.read_text() == "{}"
        leave(monkeypatch)


def test_a_machine_that_prepares_something_else_is_refused(
    bench: Workbench, server: FileServer
) -> None:
    kit: Kit = pack(bench, server)
    kit.require_same(bench.identity)
    other = {**bench.identity, "model": "1234", "data": "5678"}
    told = r"(?s)install the same packages on both:\n  model: is 1234, but \w+ where .*\n  data: is"
    with pytest.raises(UserError, match=told):
        kit.require_same(other)


def test_a_search_that_has_ended_is_told(
    bench: Workbench, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileServer("127.0.0.1") as server:
        kit = pack(bench, server)
    leave(monkeypatch)
    with pytest.raises(TransientError, match=r"cannot fetch the study's files from .* refused"):
        unpack(kit)
    assert not (elsewhere / kit.id).exists()

"""Each file comes to a machine once, whatever happens on the way."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paretune.errors import TransientError, UserError
from paretune.search.cluster import cache as module
from paretune.search.cluster.cache import KitFile, MachineCache
from paretune.search.cluster.fetching import Fetcher, sha256_of
from paretune.search.cluster.serving import FileServer
from tests.disk import SmallDisk

WEIGHTS, SPOOL = b"weights" * 1000, b"data" * 1000


class Elsewhere:
    """Another machine's files.

    Attributes:
        files: of a kit.
        sent: hashes of what was asked for, in order.
    """

    def __init__(self, **contents: bytes) -> None:
        self._contents = {hashlib.sha256(x).hexdigest(): x for x in contents.values()}
        self.files = [
            KitFile(name.replace("_", "/"), hashlib.sha256(x).hexdigest(), len(x), "/nowhere")
            for name, x in contents.items()
        ]
        self.sent: list[str] = []

    def fetch(self, sha256: str, size: int, draft: Path) -> None:
        self.sent.append(sha256)
        assert size == len(self._contents[sha256])
        draft.write_bytes(self._contents[sha256])


@pytest.fixture
def there() -> Elsewhere:
    return Elsewhere(model_weights=WEIGHTS, cache_a_piece=WEIGHTS, data=SPOOL)


def assert_stocked(folder: Path) -> None:
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found == {"model/weights": WEIGHTS, "cache/a/piece": WEIGHTS, "data": SPOOL}


def test_what_is_there_is_not_fetched_again(tmp_path: Path, there: Elsewhere) -> None:
    cache = MachineCache(tmp_path / "not" / "there")
    first = cache.stock("first", there.files, there.fetch)
    assert_stocked(first)
    assert len(there.sent) == 2
    assert cache.stock("first", there.files, there.fetch) == first
    second = MachineCache(cache.folder).stock("second", there.files, there.fetch)
    assert_stocked(second)
    assert len(there.sent) == 2
    assert (first / "data").samefile(second / "data")
    # ONNX reads no weights from a file that has several names.
    assert (first / "model" / "weights").stat().st_nlink == 1
    assert cache.folder.stat().st_mode & 0o777 == 0o700


def test_a_kit_that_is_used_is_young(tmp_path: Path, there: Elsewhere) -> None:
    cache = MachineCache(tmp_path)
    folder = cache.stock("kit", there.files, there.fetch)
    os.utime(folder, (1, 1))
    cache.stock("kit", there.files, there.fetch)
    assert folder.stat().st_mtime > 1


def test_what_is_damaged_is_fetched_again(tmp_path: Path, there: Elsewhere) -> None:
    cache = MachineCache(tmp_path)
    first = cache.stock("first", there.files, there.fetch)
    kept = tmp_path / "files" / there.files[2].sha256
    kept.chmod(0o644)
    kept.write_bytes(SPOOL[:-1])
    assert_stocked(cache.stock("second", there.files, there.fetch))
    assert there.sent[2:] == [there.files[2].sha256]
    # It was another name of the damaged one.
    assert_stocked(cache.stock("first", there.files, there.fetch))
    assert not list(first.rglob(".*"))


def test_a_file_system_without_links(
    tmp_path: Path, there: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    cache = MachineCache(tmp_path)
    assert_stocked(cache.stock("kit", there.files, there.fetch))
    cache.stock("kit", there.files, there.fetch)
    assert len(there.sent) == 2


def test_the_next_process_goes_on_where_one_was_killed(tmp_path: Path, there: Elsewhere) -> None:
    code = (
        "import os, sys; from pathlib import Path;"
        "from paretune.search.cluster.cache import KitFile, MachineCache\n"
        "def fetch(sha256, size, draft):\n"
        "    draft.write_bytes(b'half')\n"
        f"    os.kill(os.getpid(), {int(signal.SIGKILL)})\n"
        "files = [KitFile('data', sys.argv[2], int(sys.argv[3]), '')]\n"
        "MachineCache(Path(sys.argv[1])).stock('kit', files, fetch)"
    )
    data = there.files[2]
    command = [sys.executable, "-c", code, str(tmp_path), data.sha256, str(data.size)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    seen = []

    def fetch(sha256: str, size: int, draft: Path) -> None:
        seen.append(draft.read_bytes())
        there.fetch(sha256, size, draft)

    MachineCache(tmp_path).stock("kit", [data], fetch)
    assert seen == [b"half"]
    assert not list((tmp_path / "files").glob(".*"))


def test_a_source_that_goes_away_leaves_what_has_come(tmp_path: Path, there: Elsewhere) -> None:
    def go_away(sha256: str, size: int, draft: Path) -> None:
        if there.sent:
            raise TransientError("gone")
        there.fetch(sha256, size, draft)

    cache = MachineCache(tmp_path)
    with pytest.raises(TransientError, match="gone"):
        cache.stock("kit", there.files, go_away)
    assert_stocked(cache.stock("kit", there.files, there.fetch))
    assert len(there.sent) == 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    disk = SmallDisk(tmp_path / "disk")
    yield disk
    disk.close()


def test_a_full_disk_is_told_and_resumed(small_disk: SmallDisk, tmp_path: Path) -> None:
    contents = {"model/weights": bytes(100_000), "data": b"x" * (800 << 10)}
    small_disk.fill(leave=800 << 10)
    told = (
        r"cannot keep the study's files in '.*/disk/cache': No space left on device;"
        r" PARETUNE_CACHE names a folder for them, with room for 1 MiB"
    )
    with FileServer("127.0.0.1") as server, Fetcher(server.url, server.token) as fetcher:
        files = []
        for name, content in contents.items():
            path = tmp_path / Path(name).name
            path.write_bytes(content)
            files.append(KitFile(name, sha256_of(path), len(content), str(path)))
            server.register(path, files[-1].sha256)
        cache = MachineCache(small_disk.folder / "cache")
        with pytest.raises(UserError, match=told):
            cache.stock("kit", files, fetcher.fetch)
        # What did not fit is not in the way of others.
        assert shutil.disk_usage(small_disk.folder).free > 500 << 10
        assert [path.name for path in (cache.folder / "files").iterdir()] == [files[0].sha256]
        small_disk.clear()
        folder = cache.stock("kit", files, fetcher.fetch)
    assert {name: (folder / name).read_bytes() for name in contents} == contents


def test_a_disk_that_is_read_only_is_told(small_disk: SmallDisk, there: Elsewhere) -> None:
    cache = MachineCache(small_disk.folder)
    small_disk.read_only()
    with pytest.raises(UserError, match="Read-only file system; PARETUNE_CACHE names a folder"):
        cache.stock("kit", there.files, there.fetch)
    small_disk.read_only(False)
    assert_stocked(cache.stock("kit", there.files, there.fetch))


def test_a_folder_that_is_none_is_told(tmp_path: Path, there: Elsewhere) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "cache"):
        with pytest.raises(UserError, match=r"cannot keep the study's files in '.*/file.*'"):
            MachineCache(folder).stock("kit", there.files, there.fetch)


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv(module.CACHE_ENV, raising=False)
    assert MachineCache().folder == tmp_path / ".cache" / "paretune"
    monkeypatch.setenv(module.CACHE_ENV, "else/where")
    monkeypatch.chdir(tmp_path)
    assert MachineCache().folder == tmp_path / "else" / "where"
    assert MachineCache(tmp_path).folder == tmp_path

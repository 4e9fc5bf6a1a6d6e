"""The store of uploaded files: by content, within its limits, and after crashes."""

import errno
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from paretune.evaluators.devices.agent.files import FileStore, NoRoom


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def upload(store: FileStore, content: bytes, digest: str | None = None) -> str:
    digest = digest or digest_of(content)
    with store.receive(digest, len(content)) as file:
        file.write(content[:3])
        file.write(content[3:])
        file.finish()
    return digest


class Used(set[str]):
    """What jobs use."""

    def __call__(self) -> set[str]:
        return self


@pytest.fixture
def used() -> Used:
    return Used()


@pytest.fixture
def store(tmp_path: Path, used: Used) -> FileStore:
    return FileStore(tmp_path, 100, used)


def test_a_file_is_found_by_its_content(store: FileStore, tmp_path: Path) -> None:
    digest = upload(store, b"content")
    assert store.use(digest)
    assert store.path(digest).read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == [digest]
    assert store.path(digest).stat().st_mode & 0o077 == 0


def test_other_content_than_announced_is_not_kept(store: FileStore, tmp_path: Path) -> None:
    wrong = digest_of(b"something else")
    with pytest.raises(ValueError, match=digest_of(b"content")):
        upload(store, b"content", wrong)
    assert not store.use(wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["..", "../x", "/etc/passwd", "", "A" * 64, "a" * 63, "a" * 64 + "\n"]
)
def test_only_hashes_become_paths(store: FileStore, name: str) -> None:
    with pytest.raises(ValueError, match="is no SHA-256"):
        store.path(name)
    assert not store.use(name)


def test_what_was_used_least_recently_makes_room(store: FileStore) -> None:
    first, second, third = (upload(store, bytes([i]) * 30) for i in range(3))
    assert store.use(first)
    fourth = upload(store, b"4" * 30)
    assert [store.use(x) for x in (first, second, third, fourth)] == [True, False, True, True]
    assert not store.path(second).exists()


def test_a_file_that_someone_removed_is_not_there(store: FileStore) -> None:
    digest = upload(store, b"content")
    store.path(digest).unlink()
    assert not store.use(digest)
    assert store.use(upload(store, b"content"))


def test_what_jobs_use_stays(store: FileStore, used: Used) -> None:
    used.update(upload(store, bytes([i]) * 30) for i in range(3))
    with pytest.raises(NoRoom, match="no room for 30 bytes: it keeps 100 bytes at most"):
        upload(store, b"4" * 30)
    assert all(store.use(digest) for digest in used)


def test_uploads_at_the_same_time_have_room_for_all(store: FileStore) -> None:
    with store.receive(digest_of(b"a" * 60), 60), pytest.raises(NoRoom):
        store.receive(digest_of(b"b" * 60), 60)
    upload(store, b"b" * 60)


def test_a_restart_finds_the_files_and_removes_what_was_broken_off(
    store: FileStore, tmp_path: Path, used: Used
) -> None:
    old, new = upload(store, b"o" * 40), upload(store, b"n" * 40)
    os.utime(store.path(old), (1, 1))
    broken = store.receive(digest_of(b"b"), 1)
    broken.write(b"b")
    again = FileStore(tmp_path, 100, used)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([old, new])
    third = upload(again, b"t" * 40)
    assert [again.use(x) for x in (old, new, third)] == [False, True, True]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip(f"mounting is not permitted: {mount.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_told_before_the_upload(small_disk: Path, used: Used) -> None:
    store = FileStore(small_disk, 1 << 30, used)
    with pytest.raises(NoRoom, match="the disk is full"):
        upload(store, b"x" * (2 << 20))
    # Of its own files it removes what it can.
    first = upload(store, b"1" * (600 << 10))
    second = upload(store, b"2" * (600 << 10))
    assert [store.use(first), store.use(second)] == [False, True]


def test_a_disk_that_fills_up_during_an_upload_loses_that_upload_only(
    small_disk: Path, used: Used
) -> None:
    store = FileStore(small_disk, 1 << 30, used)
    kept = upload(store, b"kept")
    content = b"x" * (700 << 10)
    other = small_disk / "someone-elses"
    with (
        pytest.raises(OSError, match="No space left") as raised,
        store.receive(digest_of(content), len(content)) as file,
    ):
        other.write_bytes(b"y" * (600 << 10))
        for start in range(0, len(content), 1 << 16):
            file.write(content[start : start + (1 << 16)])
    assert raised.value.errno == errno.ENOSPC
    assert sorted(path.name for path in small_disk.iterdir()) == sorted([kept, other.name])
    other.unlink()
    assert store.use(upload(store, content))

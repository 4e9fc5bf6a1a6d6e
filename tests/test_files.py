"""Files that are whole, and folders that are gone."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from paretune.files import own_temporary_files, scratch_folder, write_whole
from tests.limits import limit


def test_many_write_the_same_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([i]) * (1 << 16) for i in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda content: write_whole(path, content), contents))
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.with_name(".file.draft").write_bytes(b"the first half of something longer")
    write_whole(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_what_does_not_fit_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    with (
        limit(resource.RLIMIT_FSIZE, 100),
        pytest.raises(OSError, match=f"File too large: '{path}'"),
    ):
        write_whole(path, bytes(1000))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_disk_has_a_file_before_its_name_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "file", list[bytes]()

    def fsync(_: int) -> None:
        assert not path.exists()
        synced.append((tmp_path / ".file.draft").read_bytes())

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, b"content")
    assert synced == [b"content"]
    write_whole(tmp_path / "scratch", b"content", durable=False)
    assert len(synced) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from paretune.files import scratch_folder

with scratch_folder(Path(sys.argv[1]), "name") as folder:
    (folder / "file").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_folders_of_killed_processes_are_removed_by_the_next(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert [path.name for path in left.iterdir()] == ["file"]
    (tmp_path / ".name-of-another").touch()
    with scratch_folder(tmp_path, "name") as first, scratch_folder(tmp_path, "name") as second:
        assert not left.exists()
        assert first != second
        assert first.is_dir() and second.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == [".name-of-another"]


def test_temporary_files_are_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("TMPDIR", raising=False)
    with own_temporary_files():
        forgotten = Path(tempfile.mkdtemp())
        assert forgotten.parent.parent == tmp_path
        assert os.environ["TMPDIR"] == str(forgotten.parent)
    assert not list(tmp_path.iterdir())
    assert (tempfile.tempdir, os.environ.get("TMPDIR")) == (str(tmp_path), None)


def test_where_no_temporary_file_can_be_made_nothing_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with own_temporary_files():
        assert tempfile.tempdir == str(tmp_path / "nowhere")

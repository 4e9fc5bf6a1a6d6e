"""The agent's folder, token and addresses."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from paretune.errors import UserError
from paretune.evaluators.devices.agent import arguments
from paretune.evaluators.devices.agent.folder import open_folder
from paretune.evaluators.devices.agent.listening import is_loopback, listen, url_of
from paretune.evaluators.devices.agent.token import given_token, kept_token

TOKEN = "0123456789abcdef"


@pytest.fixture
def restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process as it was."""
    monkeypatch.chdir(tmp_path)
    for name in ("TMPDIR", "XDG_CACHE_HOME", "PYTHONPATH"):
        monkeypatch.setenv(name, "here")
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield


@pytest.mark.usefixtures("restored")
def test_the_process_works_in_its_folder(tmp_path: Path) -> None:
    scratch = tmp_path / "folder" / "scratch"
    scratch.mkdir(parents=True)
    (tmp_path / "folder" / "agent.lock").touch()
    (scratch / "left over").touch()
    with open_folder(Path("folder")) as folder:
        assert Path.cwd() == scratch
        assert not list(scratch.iterdir())
        assert tempfile.gettempdir() == str(scratch)
        assert folder.files == tmp_path / "folder" / "files"
        # What is started later must still find what it imports.
        assert os.environ["PYTHONPATH"] == str(tmp_path / "here")
        with pytest.raises(UserError, match="another agent uses"), open_folder(scratch.parent):
            pass
    with open_folder(scratch.parent):
        pass


def test_the_environment_forgets_the_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PARETUNE_TOKEN", TOKEN)
    assert given_token(None) == TOKEN
    assert given_token(None) is None
    monkeypatch.setenv("PARETUNE_TOKEN", TOKEN)
    (tmp_path / "token").write_text(f"{TOKEN[::-1]}\n")
    assert given_token(str(tmp_path / "token")) == TOKEN[::-1]
    assert "PARETUNE_TOKEN" not in os.environ


@pytest.mark.parametrize("token", ["", "short", TOKEN + " x", TOKEN + "é", "x" * 2000])
def test_bad_tokens_are_not_shown(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("PARETUNE_TOKEN", token)
    with pytest.raises(UserError, match="variable PARETUNE_TOKEN must be 16 or more") as raised:
        given_token(None)
    assert not token or token not in str(raised.value)


def test_tokens_differ(tmp_path: Path) -> None:
    assert kept_token(tmp_path / "a") != kept_token(tmp_path / "b")
    assert kept_token(tmp_path / "a") == kept_token(tmp_path / "a")


@pytest.mark.parametrize(
    ("host", "url", "loopback"),
    [
        ("127.0.0.1", "http://127.0.0.1:", True),
        ("0.0.0.0", "http://0.0.0.0:", False),
        ("::1", "http://[::1]:", True),
    ],
)
def test_addresses(host: str, url: str, loopback: bool) -> None:
    with listen(host, 0) as listener:
        assert url_of(listener, None).startswith(url)
        assert not url_of(listener, None).endswith(":0")
        assert is_loopback(listener) == loopback


@pytest.mark.parametrize("available", [5 << 30, None])
def test_a_job_may_have_most_of_the_memory_that_is_there(
    monkeypatch: pytest.MonkeyPatch, available: int | None
) -> None:
    monkeypatch.setattr(arguments, "default_memory_limit", lambda: available)
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert arguments.read_arguments(["serve"], "x").max_memory == (available or physical)
    given = arguments.read_arguments(["serve", "--max-memory", "1GiB"], "x")
    assert given.max_memory == 1 << 30

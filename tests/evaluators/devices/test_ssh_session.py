"""A process of `ssh`, played by a shell."""

import time
from pathlib import Path

import pytest

from paretune.evaluators.devices.ssh_session import LinkDown, SshSession

HUNG_UP = "Connection to 127.0.0.1 closed by remote host."


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        (["greetings", "Illegal instruction"], "Illegal instruction"),
        (["Illegal instruction", HUNG_UP], "Illegal instruction"),
        (
            ["Illegal instruction", HUNG_UP, "Shared connection to pi closed."],
            "Illegal instruction",
        ),
        ([HUNG_UP], HUNG_UP),
        ([], "it said nothing"),
    ],
)
def test_what_the_other_side_said_last(tmp_path: Path, errors: list[str], words: str) -> None:
    script = "".join(f"echo '{line}' >&2; " for line in errors)
    session = SshSession(["sh", "-c", script], tmp_path / "log", 10.0)
    assert session.last_words() == words


def test_a_silent_side_is_not_waited_for_without_end(tmp_path: Path) -> None:
    session = SshSession(["cat"], tmp_path / "log", 0.05)
    start = time.monotonic()
    with pytest.raises(LinkDown, match="does not answer in time"):
        session.line("paretune:")
    session.close()
    assert time.monotonic() - start < 5

"""The commands on the pages are commands: every name, option and number of arguments."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from paretune.evaluators.devices.agent.arguments import read_arguments
from paretune.search.cli.main import app

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/nights.md", "experiments/README.md")
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:\w+=\S+ )?paretune [^`]+)`")


def shown(page: str) -> list[list[str]]:
    """The words of all `paretune` commands on a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [
        line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += [" ".join(found.split()) for found in INLINE.findall(BLOCK.sub("", text))]
    split = [command_of(shlex.split(line, comments=True)) for line in lines]
    return [words for words in split if words and words[0] == "paretune"]


def command_of(words: list[str]) -> list[str]:
    """Without what a shell wants."""
    while words and (words[0] == "nohup" or "=" in words[0]):
        words = words[1:]
    if words[:2] == ["python3", "paretune-device.pyz"]:
        words = ["paretune", "device", *words[2:]]
    return words[:-1] if words[-1:] == ["&"] else words


def check(words: list[str]) -> None:
    """Parse a command without running it; raises what the command line would show."""
    command: Any = get_command(app)
    name, *rest = words
    while hasattr(command, "commands"):
        name, *rest = rest
        assert name in command.commands, f"there is no command '{name}'"
        command = command.commands[name]
    if rest or not command.params:
        context = command.make_context(name, rest)
        if words[1:3] == ["device", "serve"]:
            read_arguments(["serve", *context.args], "paretune device")


@pytest.mark.parametrize(
    ("page", "words"), [(page, words) for page in PAGES for words in shown(page)]
)
def test_every_command_can_be_typed(page: str, words: list[str]) -> None:
    check(words)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("paretune serch digits.yaml", "there is no command 'serch'"),
        ("paretune search digits.yaml --clutser local:2", "No such option: --clutser"),
        ("paretune search digits.yaml second.yaml", "unexpected extra argument"),
        ("paretune pick digits.yaml --trial first", "should be a valid integer"),
        ("paretune device serve --certificate x", "unrecognized arguments: --certificate"),
    ],
)
def test_mistakes_would_be_seen(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((Exception, SystemExit)) as raised:
        check(shlex.split(line))
    assert message in f"{raised.value}{capsys.readouterr().err}"


@pytest.mark.parametrize("page", PAGES)
def test_all_pages_show_commands(page: str) -> None:
    assert shown(page)

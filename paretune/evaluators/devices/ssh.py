"""A device that is reached by `ssh`: the agent travels there, is started, and ends with us."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx2
from pydantic import BaseModel, ConfigDict, Field, model_validator

from paretune.errors import UserError
from paretune.evaluators.devices.device import SECTION_KEYS
from paretune.evaluators.devices.http import DEFAULT_PATIENCE
from paretune.evaluators.devices.remote import RemoteDevice, connect_agent
from paretune.evaluators.devices.ssh_link import SshLink, SshTarget
from paretune.evaluators.devices.ssh_session import LinkDown
from paretune.validation import Seconds, parse_options


class SshOptions(BaseModel):
    """What a user may set for a device of the type `ssh`.

    Attributes:
        url: such as `ssh://user@host:2222`.
        host: instead of it, as `ssh` takes it: `user@host`, or a name from its config.
        port: of the ssh server.
        identity: file with the private key.
        ssh_options: for `ssh`, given to it as they are, such as `["-J", "gateway"]`.
        python: the command of Python on the device.
        folder: on the device, for the agent and the files that are sent to it.
        patience: seconds to wait for a device that is away, before the trial fails.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(pattern=r"^ssh://[^\s/-][^\s/]*/?$")] | None = None
    host: Annotated[str, Field(pattern=r"^[^\s-]\S*$")] | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    identity: Path | None = None
    ssh_options: tuple[str, ...] = ()
    python: str = Field(default="python3", min_length=1)
    folder: str = Field(default="~/.cache/paretune", min_length=1)
    patience: Seconds = DEFAULT_PATIENCE

    @model_validator(mode="after")
    def _one_place(self) -> "SshOptions":
        if (self.url is None) == (self.host is None):
            raise ValueError("give 'url' (ssh://user@host) or 'host' (user@host), and not both")
        return self

    @property
    def place(self) -> str:
        """Where to log in, as `ssh` takes it."""
        return (self.url or self.host or "").removesuffix("/")


class SshPlugin:
    """The device `ssh`; needs an `ssh` here, and there Python, numpy and the runtime."""

    @staticmethod
    def connect(name: str, options: Mapping[str, Any]) -> RemoteDevice:
        """Log in, start the agent and connect to it.

        Raises:
            UserError: an option is wrong, `ssh` cannot log in without asking, or what the agent
                needs is not there.
        """
        checked = parse_options(SshOptions, options, f"device '{name}'", also=SECTION_KEYS)
        link = SshLink(name, _target(checked))
        try:
            _log_in(name, checked.place, link)
            http = httpx2.Client(
                base_url="http://device",
                headers={"Authorization": f"Bearer {link.token}"},
                transport=SshTransport(link),
            )
            return connect_agent(name, http, checked.patience, f"{checked.place} through ssh")
        except BaseException:
            link.close()
            raise


class SshTransport(httpx2.BaseTransport):
    """HTTP through the tunnel of a link, which is mended before a request where it broke."""

    def __init__(self, link: SshLink) -> None:
        self._link = link
        self._inner = httpx2.HTTPTransport(uds=str(link.socket), trust_env=False)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        try:
            self._link.ensure()
        except LinkDown as error:
            raise httpx2.ConnectError(str(error), request=request) from error
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the connections, then the way."""
        self._inner.close()
        self._link.close()


def _log_in(name: str, host: str, link: SshLink) -> None:
    try:
        link.ensure()
    except LinkDown as error:
        raise UserError(
            f"device '{name}': no way to {host}: {error}; `ssh {host} true` must work without a"
            " question"
        ) from error
    except FileNotFoundError:
        raise UserError(f"device '{name}': there is no command 'ssh' on this host") from None


def _target(options: SshOptions) -> SshTarget:
    given = list(options.ssh_options)
    if options.port is not None:
        given += ["-p", str(options.port)]
    if options.identity is not None:
        given += ["-i", str(options.identity.expanduser())]
    return SshTarget(options.place, tuple(given), options.python, options.folder)

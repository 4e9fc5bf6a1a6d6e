"""A device behind an agent that is reached over HTTP."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx2
from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from paretune.errors import UserError
from paretune.evaluators.devices.device import SECTION_KEYS
from paretune.evaluators.devices.protocol import TOKEN_ENV
from paretune.evaluators.devices.remote import RemoteDevice, connect_agent
from paretune.validation import Seconds, parse_options

DEFAULT_PATIENCE = 900.0


def _checked_url(text: str) -> str:
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise ValueError(f"cannot read the address '{text}': {error}") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query:
        raise ValueError(f"must be like http://board:8571 or https://board:8571, but got '{text}'")
    return text


class HttpOptions(BaseModel):
    """What a user may set for a device of the type `http`.

    Attributes:
        url: of the agent.
        token, token_env, token_file: the agent's token, the environment variable or the file that
            holds it; one of them.
        ca: file with the TLS certificate (PEM) to trust, such as the agent's own.
        patience: seconds to wait for a device that is away, before the trial fails.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, AfterValidator(_checked_url)]
    token: str | None = None
    token_env: str | None = None
    token_file: Path | None = None
    ca: Path | None = None
    patience: Seconds = DEFAULT_PATIENCE

    @model_validator(mode="after")
    def _fit_together(self) -> "HttpOptions":
        ways = [name for name in ("token", "token_env", "token_file") if getattr(self, name)]
        if len(ways) > 1:
            raise ValueError(f"give one of {' and '.join(ways)}, not both")
        if self.ca and not self.url.startswith("https:"):
            raise ValueError(f"'ca' needs an https:// address, but 'url' is '{self.url}'")
        return self


class HttpPlugin:
    """The device `http`."""

    @staticmethod
    def connect(name: str, options: Mapping[str, Any]) -> RemoteDevice:
        """Connect to an agent.

        Raises:
            UserError: an option, the address, the token or the certificate is wrong, or nothing
                answers within some seconds.
        """
        device = f"device '{name}'"
        checked = parse_options(HttpOptions, options, device, also=SECTION_KEYS)
        http = httpx2.Client(
            base_url=checked.url,
            headers={"Authorization": f"Bearer {_token(checked, device)}"},
            verify=_trust(checked, device),
            # A proxy of the environment is for the internet, and must not see the token.
            trust_env=False,
        )
        return connect_agent(name, http, checked.patience, checked.url)


def _token(options: HttpOptions, device: str) -> str:
    if options.token:
        token, source = options.token, "'token'"
    elif options.token_file:
        source = f"the file '{options.token_file}'"
        try:
            token = options.token_file.expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{device}: cannot read the token in {source}: {error}") from None
    else:
        variable = options.token_env or TOKEN_ENV
        token, source = os.environ.get(variable, ""), f"the environment variable {variable}"
        if not token:
            raise UserError(
                f"{device}: {source} is not set; it holds the token of the agent, which"
                " `paretune device serve` was started with"
            )
    if not (token.isascii() and token.isprintable()) or " " in token or not token:
        raise UserError(
            f"{device}: {source} holds no token; one is made of letters, digits and marks,"
            " without spaces"
        )
    return token


def _trust(options: HttpOptions, device: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=options.ca and options.ca.expanduser())
    except OSError as error:
        # Also what is no certificate: ssl.SSLError is an OSError.
        raise UserError(f"{device}: cannot read the certificate '{options.ca}': {error}") from None

"""Where the agent listens."""

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from paretune.errors import UserError


@dataclass(frozen=True)
class Tls:
    """PEM files of the certificate chain and its key."""

    cert: Path
    key: Path

    @staticmethod
    def of(cert: Path | None, key: Path | None) -> "Tls | None":
        """Check both files; None if there are none.

        Raises:
            UserError: they cannot be read, or do not belong together.
        """
        if cert is None or key is None:
            return None
        try:
            # Without a password it would ask on the terminal.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert, key, password=lambda: b"")
        except (OSError, ValueError) as error:
            raise UserError(f"cannot use --cert '{cert}' with --key '{key}': {error}") from None
        return Tls(cert.absolute(), key.absolute())


def listen(host: str, port: int) -> socket.socket:
    """Take the first address of a host; nobody can connect before the server is started with it.

    Args:
        port: 0 takes any that is free.

    Raises:
        UserError: no such address here, or the port is in use.
    """
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        # With the protocol named, asyncio sends without delay: answers come 40 ms sooner.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        reason = error.strerror or str(error)
        raise UserError(f"cannot listen at '{host}', port {port}: {reason}") from None
    return listener


def url_of(listener: socket.socket, tls: Tls | None) -> str:
    """Where clients on this machine find it."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'http' if tls is None else 'https'}://{shown}:{port}"


def is_loopback(listener: socket.socket) -> bool:
    """Whether only this machine reaches it."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback

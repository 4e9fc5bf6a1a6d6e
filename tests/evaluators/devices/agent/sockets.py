"""Talking to an agent without an HTTP client in between."""

import socket


def rest(client: socket.socket) -> bytes:
    """All that comes until the agent closes the connection."""
    text = b""
    with client:
        try:
            while piece := client.recv(1 << 16):
                text += piece
        except ConnectionResetError:
            pass
    return text

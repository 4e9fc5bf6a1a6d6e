"""A network of its own for a device, with a cable that can be pulled."""

import itertools
import os
import subprocess
from collections.abc import Sequence

import pytest

_COUNT = itertools.count()


class Network:
    """A network namespace, and a pair of virtual interfaces as the cable to it; needs root.

    Attributes:
        address: of the device.
    """

    def __init__(self) -> None:
        number = next(_COUNT)
        self._name = f"paretune-{os.getpid()}-{number}"
        self._here = f"pt{os.getpid()}n{number}"
        subnet = f"10.{os.getpid() % 251 + 1}.{os.getpid() // 251 % 256}"
        self.address = f"{subnet}.{4 * number + 2}"
        there = f"{self._here}x"
        try:
            _ip("netns", "add", self._name)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces are not permitted: {error.stderr.strip()}")
        try:
            _ip("link", "add", self._here, "type", "veth", "peer", "name", there)
            _ip("link", "set", there, "netns", self._name)
            _ip("address", "add", f"{subnet}.{4 * number + 1}/30", "dev", self._here)
            _ip("link", "set", self._here, "up")
            _ip("-n", self._name, "address", "add", f"{self.address}/30", "dev", there)
            _ip("-n", self._name, "link", "set", "lo", "up")
            _ip("-n", self._name, "link", "set", there, "up")
        except BaseException:
            self.close()
            raise

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command that runs another one in the namespace."""
        return ["ip", "netns", "exec", self._name, *command]

    def pull(self) -> None:
        """Pull the cable."""
        _ip("link", "set", self._here, "down")

    def plug(self) -> None:
        """Put it back."""
        _ip("link", "set", self._here, "up")

    def close(self) -> None:
        """Remove it; the interfaces go with it."""
        _ip("netns", "delete", self._name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)

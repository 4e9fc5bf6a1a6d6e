"""A small disk of a test's own, which can be filled and made read-only."""

import os
import subprocess
from pathlib import Path

import pytest


class SmallDisk:
    """A file system in memory; needs root.

    Attributes:
        folder: where it is.
    """

    def __init__(self, folder: Path, mib: int = 4) -> None:
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "paretune", str(folder)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"mounting is not permitted: {done.stderr.strip()}")
        self._ballast = folder / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Take all its room but so many bytes, to a page."""
        found = os.statvfs(self.folder)
        with self._ballast.open("ab") as file:
            file.write(bytes(found.f_bavail * found.f_frsize - leave))

    def clear(self) -> None:
        """Give back what `fill` took."""
        self._ballast.unlink(missing_ok=True)

    def read_only(self, yes: bool = True) -> None:
        """Nothing can be written to it any more; or again."""
        mode = "ro" if yes else "rw"
        subprocess.run(["mount", "-o", f"remount,bind,{mode}", str(self.folder)], check=True)

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

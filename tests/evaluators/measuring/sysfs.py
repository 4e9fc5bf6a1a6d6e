"""Trees of files like those below `/sys`, with meters in them."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic


def write(folder: Path, **files: object) -> Path:
    """A folder with files of these names and contents."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")
    return folder


def zone(root: Path, place: str, name: str, energy_uj: int, span: int = 262_143_328_850) -> Path:
    """A powercap zone; returns its `energy_uj`."""
    files = {"name": name, "energy_uj": energy_uj, "max_energy_range_uj": span}
    return _device(root, "powercap", place, files) / "energy_uj"


def chip(root: Path, number: int, name: str, **files: object) -> Path:
    """A hwmon chip; returns its folder."""
    return _device(root, "hwmon", f"hwmon{number}", {"name": name, **files})


def _device(root: Path, kind: str, place: str, files: Mapping[str, object]) -> Path:
    """As the kernel has it: the folder is elsewhere, and a link among those of its kind."""
    folder = write(root / "devices" / kind / place, **files)
    link = root / "class" / kind / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(folder)
    return link


@contextmanager
def powered(file: Path, watts: float) -> Iterator[None]:
    """A meter that counts steadily, as files that are replaced whole."""
    start, done = monotonic(), threading.Event()
    new = file.with_suffix(".new")

    def count() -> None:
        while not done.wait(1e-3):
            new.write_text(str(int(1e6 * watts * (monotonic() - start))))
            new.replace(file)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

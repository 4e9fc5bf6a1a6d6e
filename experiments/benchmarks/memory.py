"""Peak resident memory of a MiniLM search: the driver and all its processes together.

The search runs as a user starts it. The proportional set size of its process tree (pages that
processes share are counted once) is read from /proc until it ends.

Run: python -m experiments.benchmarks.memory
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRIALS = 12
EVERY_S = 0.1


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        # Study and MLflow records go to the temporary folder; trained weights are found here.
        (here / "runs").mkdir(exist_ok=True)
        (Path(folder) / "runs").symlink_to(here / "runs")
        command = [
            *(sys.executable, "-m", "paretune", "search"),
            str(here / "experiments/minilm_reuters.yaml"),
            *("--trials", str(TRIALS), "--output", "study", "--quiet"),
        ]
        environment = {**os.environ, "PYTHONPATH": str(here)}
        search = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        peak: dict[str, int] = {}
        highest = 0
        while search.poll() is None:
            sizes = dict(map(_size, _tree(search.pid)))
            if sum(sizes.values()) > highest:
                highest, peak = sum(sizes.values()), sizes
            time.sleep(EVERY_S)
        if search.returncode != 0:
            sys.exit(f"error: the search ended with exit code {search.returncode}")
    for name, size in peak.items():
        print(f"{size / 1e6:10.0f} MB  {name}")
    print(f"{highest / 1e6:10.0f} MB  together, at the peak of {TRIALS} trials")
    print(json.dumps({"peak_bytes": highest}))


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        children = Path(f"/proc/{parent}/task/{parent}/children")
        try:
            found.extend(int(child) for child in children.read_text().split())
        except OSError:
            continue
    return found


def _size(pid: int) -> tuple[str, int]:
    """Name and bytes of a process; 0 bytes once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return f"{pid} (gone)", 0
    size = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return f"{pid} {' '.join(words[1:4])}", 1024 * size


if __name__ == "__main__":
    main()

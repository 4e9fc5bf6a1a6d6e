"""Real searches are killed at random moments: is anything lost, measured twice, or left behind?

`paretune search` and `paretune pick` on the digits experiment are killed with SIGKILL: the driver,
one of its children, or all of them, in all phases, and started again until the study is complete.
Then the next study begins. After every kill:

- all trials that were in the journal still are, unchanged, and no policy is there twice;
- every file in the study's folder that is meant to stay can be read to its end;
- no process of the command is left over;
- what killed processes leave in temporary files does not pile up.

Every complete study is compared with one that was never killed: its cache has the same bytes; all
its models, built again by the undisturbed one, have the same bytes and figures; the front is
confirmed and tested; the picked file is the trial's; MLflow's records have the same structure.

Run: python -m experiments.benchmarks.kills [--kills 100] [--seed 0] [--trials 24]
     [--sampler nsga2] [--folder runs/kills]
"""

import argparse
import json
import random
import shutil
import sys
import time
from pathlib import Path

from experiments.benchmarks.kills.command import Command, Phase
from experiments.benchmarks.kills.torment import Place, Toll, Torment
from experiments.benchmarks.kills.undisturbed import Undisturbed
from experiments.benchmarks.kills.whole import Broken

KILLS_A_STUDY = 14
"""Then it may end, so that every phase is met in several studies."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments and of the searches")
    parser.add_argument("--trials", type=int, default=24, help="of every search")
    parser.add_argument("--sampler", default="nsga2", help="nsga2, guided, ...")
    parser.add_argument("--folder", type=Path, default=Path("runs/kills"), help="made anew")
    asked = parser.parse_args()
    shutil.rmtree(asked.folder, ignore_errors=True)
    begin = time.monotonic()
    quiet = Place(asked.folder / "undisturbed", asked.trials, asked.sampler, asked.seed)
    typical = {**dict.fromkeys(Phase, 0.0), **watched(quiet.search()), **watched(quiet.pick())}
    print({f"{phase} s": round(seconds, 1) for phase, seconds in typical.items()}, flush=True)
    watched(quiet.sync())
    toll, draw, studies, rebuilt = Toll(), random.Random(asked.seed), 0, 0
    with Undisturbed(quiet.study, quiet.uri) as undisturbed:
        while toll.kills < asked.kills:
            studies += 1
            place = Place(
                asked.folder / f"{studies}", asked.trials, asked.sampler, asked.seed + studies
            )
            try:
                kills = min(KILLS_A_STUDY, asked.kills - toll.kills)
                Torment(place, typical, toll, kills, draw).run()
                watched(place.sync())
                rebuilt += undisturbed.compare(place.study, place.uri, place.folder / "again.onnx")
            except Broken as error:
                sys.exit(f"error: after {toll.kills} kills, study {studies}: {error}")
            print(f"study {studies} is whole after kills in all: {by_phase(toll)}", flush=True)
            shutil.rmtree(place.folder)
    summary = {
        "kills": toll.kills,
        "studies": studies,
        "phases": by_phase(toll),
        "victims": dict(toll.victims),
        "refusals": toll.refusals,
        "files_read": toll.files,
        "models_rebuilt": rebuilt,
        "longest_left_over_s": round(toll.left_over_s, 2),
        "minutes": round((time.monotonic() - begin) / 60, 1),
    }
    print(json.dumps(summary))


def by_phase(toll: Toll) -> dict[str, int]:
    return {phase.value: toll.phases[phase] for phase in Phase}


def watched(command: Command) -> dict[Phase, float]:
    """Let a command run to its end; returns the seconds of each phase."""
    seconds: dict[Phase, float] = {}
    last = time.monotonic()
    while command.running:
        time.sleep(0.01)
        phase, now = command.phase(), time.monotonic()
        seconds[phase] = seconds.get(phase, 0.0) + now - last
        last = now
    if command.process.returncode != 0:
        sys.exit(f"error: a command that nobody killed failed:\n{command.output}")
    return seconds


if __name__ == "__main__":
    main()

"""Someone else's evaluator, installed in a folder, that does all that evaluators should not do."""

import sys
from pathlib import Path

import pytest

MODULE = '''
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from paretune.errors import Infeasible, TransientError
from paretune.evaluators import EvaluatorOptions, Measurement, Metric
from paretune.evaluators.measuring.job import Job, Limits
from paretune.evaluators.measuring.result import Estimate, Result

kept = []


def allocate():
    while True:
        kept.append(np.ones(1 << 22))


def leak():
    # Twice it fits, but not a third time.
    kept.append(np.ones(36 << 17))


def recurse():
    return recurse()


def spin():
    while True:
        pass


def raise_(error):
    raise error


def printing():
    print("hello from an evaluator", flush=True)
    os.write(1, b"straight into the pipe")
    sys.stdin.read()


FAULTS = {
    "segfault": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "sleep": lambda: time.sleep(1000),
    "spin": spin,
    # Keeps the lock of the interpreter: nothing in the process can help.
    "stuck": lambda: ctypes.PyDLL(None).pause(),
    "allocate": allocate,
    "leak": leak,
    "recurse": recurse,
    "raise": lambda: 1 / 0,
    "infeasible": lambda: raise_(Infeasible("a rule says no")),
    "busy": lambda: raise_(TransientError("the meter is busy")),
    "full": lambda: Path("/dev/full").write_text("more than fits"),
    "exit": lambda: os._exit(3),
    "leave": lambda: sys.exit(4),
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "print": printing,
    "nan": lambda: Measurement(float("nan")),
    "text": lambda: "a text",
    "odd": lambda: Measurement(1.0, conditions={"shape": np.arange(2)}),
    "nothing": lambda: None,
    "fine": lambda: Measurement(1.0),
}


class Options(EvaluatorOptions):
    faults: tuple[str, ...] = ()
    notes: str = "faults.json"


class Faulty:
    """The first artifact, and every second one after it, is measured without a fault."""

    def __init__(self, options):
        self._options = options

    def measure(self, artifact, metrics, split):
        notes = Path(self._options.notes)
        # Survives this process: who is measured again meets the same fault.
        known = json.loads(notes.read_text()) if notes.exists() else {}
        if artifact.sha256 not in known:
            index = len(known)
            faults = self._options.faults
            known[artifact.sha256] = (
                faults[index // 2] if index % 2 and index // 2 < len(faults) else "fine"
            )
            notes.write_text(json.dumps(known))
        found = FAULTS[known[artifact.sha256]]()
        if found is None:
            return {} if known[artifact.sha256] == "nothing" else {"faulty": Measurement(1.0)}
        return {"faulty": found}

    def close(self):
        Path("closed").touch()


class FaultyPlugin:
    Options = Options

    @staticmethod
    def metrics(options):
        return (Metric("faulty", "", "minimize", "What it measures, if it does"),)

    @staticmethod
    def create(options, context):
        if "create" in options.faults:
            FAULTS[options.faults[-1]]()
        return Faulty(options)


class Far:
    def __init__(self, place):
        self._place = place

    def measure(self, artifact, metrics, split):
        job = Job("latency", self._place.setup, {}, {}, Limits(60))
        return {"far": Measurement(self._place.device.run(job).figures["median"].value)}

    def close(self):
        pass


class FarPlugin:
    Options = EvaluatorOptions
    per_device = True

    @staticmethod
    def metrics(options):
        return (Metric("far", "", "minimize", "Measured on a device"),)

    @staticmethod
    def create(options, context):
        return Far(context.device)


class SlowDevice:
    machine = "far away"

    def run(self, job):
        time.sleep(0.6)
        return Result({"median": Estimate(1.0, 1.0, 1.0)})

    def close(self):
        pass


class SlowPlugin:
    @staticmethod
    def connect(name, options):
        return SlowDevice()
'''


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the evaluator `faulty` known to this process, and to those that it starts."""
    (folder / "faulty_evaluator.py").write_text(MODULE)
    info = folder / "faulty_evaluator-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-evaluator\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[paretune.evaluators]\n"
        "faulty = faulty_evaluator:FaultyPlugin\n"
        "far = faulty_evaluator:FarPlugin\n"
        "[paretune.devices]\n"
        "slow = faulty_evaluator:SlowPlugin\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "faulty_evaluator", raising=False)

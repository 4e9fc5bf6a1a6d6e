"""What figures must have in common."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from paretune.evaluators.measuring import conditions as module
from paretune.evaluators.measuring.conditions import conditions, machine_id
from paretune.evaluators.measuring.cpu import cpu_model
from paretune.evaluators.measuring.job import Setup
from paretune.evaluators.runtimes.onnxruntime import OnnxRuntimePlugin

RUNTIME = OnnxRuntimePlugin.create(1, {})

IN_A_PROCESS = """
import json, sys
from paretune.evaluators.measuring.conditions import conditions, machine_id
from paretune.evaluators.measuring.job import Setup
from paretune.evaluators.measuring.pinning import pin
from paretune.evaluators.runtimes.onnxruntime import OnnxRuntimePlugin
setup = Setup(cpus=json.loads(sys.argv[1]))
pin(setup)
print(json.dumps([conditions(setup, OnnxRuntimePlugin.create(1, {})), machine_id()]))
"""


def in_a_process(cpus: list[int], *before: str) -> tuple[dict[str, object], str]:
    command = [*before, sys.executable, "-c", IN_A_PROCESS, json.dumps(cpus)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found, machine = json.loads(done.stdout)
    return found, machine


def test_conditions_are_json_and_stay_the_same() -> None:
    setup = Setup(threads=2, options={"optimization": "basic", "session": {"a": "1"}})
    found = conditions(setup, RUNTIME)
    assert found == conditions(setup, RUNTIME) == json.loads(json.dumps(found))
    assert found["threads"] == 2
    assert found["options"] == {"optimization": "basic", "session": {"a": "1"}}
    assert found["runtime"] == "onnxruntime CPUExecutionProvider"
    assert found["runtime_version"] == RUNTIME.version
    assert all(found[key] for key in ("host", "cpu", "architecture"))


def test_two_processes_pinned_alike_agree_and_pinned_otherwise_do_not() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    first, machine = in_a_process(cpus[:1])
    again, same_machine = in_a_process(cpus[:1])
    assert first == again
    assert first["cpus"] == cpus[:1]
    assert machine == same_machine == machine_id()
    if len(cpus) > 1:
        other, _ = in_a_process(cpus[1:])
        assert other["cpus"] == cpus[1:]
        assert other != first


def test_a_network_namespace_is_the_same_machine() -> None:
    try:
        _, machine = in_a_process([0], "unshare", "--net", "--map-root-user")
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no namespaces here: {error}")
    assert machine == machine_id()


def test_another_boot_is_another_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine_id()
    (tmp_path / "boot_id").write_text("some other boot\n")
    monkeypatch.setattr(module, "_BOOT_ID", tmp_path / "boot_id")
    other = machine_id()
    assert other != before
    monkeypatch.setattr(module, "_BOOT_ID", tmp_path / "missing")
    assert machine_id() == machine_id() not in (before, other)


def test_the_governors_of_the_pinned_cpus_count(tmp_path: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    for cpu in [*cpus, max(cpus) + 1]:
        folder = tmp_path / f"devices/system/cpu/cpu{cpu}/cpufreq"
        folder.mkdir(parents=True)
        name = "schedutil" if cpu in cpus else "powersave"
        (folder / "scaling_governor").write_text(f"{name}\n")
    assert conditions(Setup(), RUNTIME, root=tmp_path)["governor"] == "schedutil"
    (tmp_path / f"devices/system/cpu/cpu{cpus[0]}/cpufreq/scaling_governor").write_text("ondemand")
    mixed = ["ondemand", "schedutil"][: len(cpus)]
    assert conditions(Setup(), RUNTIME, root=tmp_path)["governor"] == ", ".join(mixed)
    assert "governor" not in conditions(Setup(), RUNTIME, root=tmp_path / "missing")


def test_cpu_names(tmp_path: Path) -> None:
    assert cpu_model(tmp_path)
    (tmp_path / "device-tree").mkdir()
    (tmp_path / "device-tree" / "model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 108.00\n")
    assert cpu_model(tmp_path) == "Raspberry Pi 5 Model B Rev 1.0"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\n")
    assert cpu_model(tmp_path) == "Intel(R) Xeon(R)"

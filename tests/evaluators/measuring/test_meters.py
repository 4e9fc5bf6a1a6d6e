"""Energy meters, on trees of real files and without a GPU."""

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from math import pi, sin
from pathlib import Path
from time import monotonic
from typing import Any

import pynvml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.errors import TransientError, UserError
from paretune.evaluators.measuring.meters.counter import Counter
from paretune.evaluators.measuring.meters.finding import open_meter
from paretune.evaluators.measuring.meters.integral import Integral
from tests.evaluators.measuring.sysfs import chip, write, zone

SPAN = 1_000_000
SUCCESS = int(pynvml.NVML_SUCCESS)


def test_packages_add_up_and_their_subzones_do_not_count_twice(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 7_000_000)
    others = [
        zone(tmp_path, "intel-rapl:0:0", "core", 0),
        zone(tmp_path, "intel-rapl:0:1", "dram", 0),
        zone(tmp_path, "intel-rapl:2", "psys", 0),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    ]
    write(tmp_path / "class" / "powercap" / "intel-rapl", enabled=1)
    with closing(open_meter("auto", root=tmp_path)) as meter:
        assert meter.name == "powercap package-0 + package-1"
        assert meter.read() == 0
        first.write_text("6500000\n")
        second.write_text("7250000\n")
        for other in others:
            other.write_text("900000000\n")
        assert meter.read() == pytest.approx(1.5 + 0.25)


def test_zones_can_be_named(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    core = zone(tmp_path, "intel-rapl:0:0", "core", 0)
    drams = [zone(tmp_path, f"intel-rapl:{i}:1", "dram", 0) for i in range(2)]
    with closing(open_meter("powercap", ["package-0", "dram"], root=tmp_path)) as meter:
        assert meter.name == "powercap dram + dram + package-0"
        for dram in drams:
            dram.write_text("1000000")
        core.write_text("9000000")
        assert meter.read() == pytest.approx(2)
    with pytest.raises(UserError, match="'core' is part of 'package-0'; name one of them"):
        open_meter("powercap", ["package-0", "core"], root=tmp_path)
    with pytest.raises(UserError, match="no sensor 'drum'; nearest is 'dram'; allowed are"):
        open_meter("powercap", ["drum"], root=tmp_path)


def test_without_a_package_a_zone_is_named(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "psys", 0)
    with pytest.raises(UserError, match="no package in .*powercap, but psys; name one"):
        open_meter("powercap", root=tmp_path)
    open_meter("powercap", ["psys"], root=tmp_path).close()


@settings(max_examples=30)
@given(st.lists(st.integers(0, SPAN - 1), min_size=1, max_size=20), st.integers(0, SPAN - 1))
def test_a_counter_that_wraps_around_counts_on(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], start: int
) -> None:
    file = zone(tmp_path_factory.mktemp("sys"), "intel-rapl:0", "package-0", start, SPAN)
    counter = Counter(file, SPAN)
    for used in steps:
        start += used
        file.write_text(str(start % SPAN))
        counter.read()
    assert counter.read() == pytest.approx(sum(steps) * 1e-6)


def test_a_counter_without_a_span_must_not_go_back(tmp_path: Path) -> None:
    folder = chip(tmp_path, 0, "board", energy1_input=500)
    with closing(open_meter("auto", root=tmp_path)) as meter:
        (folder / "energy1_input").write_text("400")
        with pytest.raises(TransientError, match="started again: .* went from 500 to 400"):
            meter.read()


@pytest.mark.parametrize("broken", ["energy_uj", "max_energy_range_uj"])
def test_a_meter_that_cannot_be_read_is_not_replaced_by_another(
    tmp_path: Path, broken: str
) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    chip(tmp_path, 0, "board", energy1_input=0)
    (file.parent / broken).write_text("garbage")
    with pytest.raises(
        UserError, match=rf"the energy meter 'powercap' cannot be read: .*{broken} holds no whole"
    ):
        open_meter("auto", root=tmp_path)
    open_meter("hwmon", root=tmp_path).close()


def test_a_missing_span_and_an_unreadable_file(tmp_path: Path) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (file.parent / "max_energy_range_uj").unlink()
    with pytest.raises(UserError, match="max_energy_range_uj cannot be read: No such file"):
        open_meter("auto", root=tmp_path)
    # Root may read every file, but no one a folder.
    file.unlink()
    file.mkdir()
    write(file.parent, max_energy_range_uj=SPAN)
    with pytest.raises(UserError, match="energy_uj cannot be read: Is a directory"):
        open_meter("auto", root=tmp_path)


def test_a_meter_that_breaks_off_is_transient(tmp_path: Path) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    with closing(open_meter("auto", root=tmp_path)) as meter:
        file.unlink()
        with pytest.raises(TransientError, match="broke off: .*energy_uj cannot be read"):
            meter.read()


def test_no_meter_names_the_places(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        open_meter("auto", root=tmp_path)
    for place in ("class/powercap", "class/hwmon"):
        assert str(tmp_path / place) in str(caught.value)
    with pytest.raises(UserError, match="unknown energy meter 'powercup'; nearest is 'powercap'"):
        open_meter("powercup", root=tmp_path)


def test_each_chip_counts_once(tmp_path: Path) -> None:
    board = chip(tmp_path, 0, "ina", energy1_input=0, power1_input=1, in1_input=1, curr1_input=1)
    chip(tmp_path, 1, "amdgpu", power1_average=1_000_000)
    chip(tmp_path, 2, "coretemp", temp1_input=40_000)
    chip(tmp_path, 3, "BAT0", in0_input=12_000, curr1_input=1_000)
    with closing(open_meter("hwmon", root=tmp_path)) as meter:
        assert meter.name == "hwmon ina/energy1"
        (board / "energy1_input").write_text("2500000")
        assert meter.read() == pytest.approx(2.5)


def test_several_sensors_must_be_named(tmp_path: Path) -> None:
    rails = {"in1_label": "VDD_IN", "in1_input": 5_000, "curr1_input": 2_000}
    rails |= {"in2_label": "VDD_CPU", "in2_input": 5_000, "curr2_input": 1_000}
    chip(tmp_path, 4, "ina3221", **rails)
    with pytest.raises(
        UserError,
        match=r"name those to add up in 'sensors': "
        r"ina3221/VDD_IN \(hwmon4/in1\), ina3221/VDD_CPU \(hwmon4/in2\)",
    ):
        open_meter("auto", root=tmp_path)
    for name in ("ina3221/VDD_IN", "hwmon4/in1"):
        with closing(open_meter("auto", [name, name], root=tmp_path)) as meter:
            assert meter.name == "hwmon ina3221/VDD_IN"


def test_power_is_integrated_over_a_known_profile() -> None:
    """(1 - cos 2πt) watts for three seconds are three joules."""
    board = {"now": 0.0}
    integral = Integral(lambda: 2 * sin(pi * board["now"]) ** 2, None, clock=lambda: board["now"])
    for step in range(1, 301):
        board["now"] = step / 100
        integral.read()
    assert integral.read() == pytest.approx(3, rel=1e-6)


def test_a_ramp_is_exact_however_it_is_sampled() -> None:
    board = {"now": 0.0}
    integral = Integral(lambda: 4 * board["now"], None, clock=lambda: board["now"])
    for now in (0.1, 0.15, 0.7, 2.0):
        board["now"] = now
        assert integral.read() == pytest.approx(2 * now**2)


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"power1_input": 3_000_000}, "power1"),
        ({"power1_average": 3_000_000, "power1_input": 9_000_000}, "power1"),
        ({"power1_input": 3_000_000, "power1_label": "VDD"}, "VDD"),
        ({"in1_input": 5_000, "curr1_input": 600}, "in1"),
    ],
)
def test_units_of_power_sensors(tmp_path: Path, files: dict[str, object], name: str) -> None:
    """A steady 3 W; the meter's own thread and clock, so the elapsed time is bracketed."""
    chip(tmp_path, 0, "ina226", update_interval=140, **files)
    before = monotonic()
    with closing(open_meter("hwmon", root=tmp_path)) as meter:
        opened = monotonic()
        assert meter.name == f"hwmon ina226/{name}"
        assert meter.resolution == pytest.approx(0.14)
        while monotonic() < opened + 0.05:
            pass
        shortest = monotonic() - opened
        joules = meter.read()
        longest = monotonic() - before
    assert 3 * shortest <= joules * (1 + 1e-9) <= 3 * longest * (1 + 1e-9)


def test_power_is_sampled_between_two_reads() -> None:
    """High only while nobody reads: what a read now and then would not see."""
    main = threading.current_thread()
    enough = threading.Semaphore(0)

    def watts() -> float:
        if threading.current_thread() is main:
            return 0
        enough.release()
        return 5

    before = threading.active_count()
    with closing(Integral(watts, 1e-3)) as integral:
        for _ in range(3):
            assert enough.acquire(timeout=10)
        assert integral.read() > 0
    assert threading.active_count() == before


def test_a_power_sensor_that_is_gone(tmp_path: Path) -> None:
    folder = chip(tmp_path, 0, "ina226", power1_input=0)
    with closing(open_meter("hwmon", root=tmp_path)) as meter:
        (folder / "power1_input").unlink()
        with pytest.raises(TransientError, match="broke off: .*power1_input cannot be read"):
            meter.read()


def test_nvml_as_this_machine_has_it() -> None:
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        with pytest.raises(UserError, match="nvml: NVML does not start: .*Shared Library Not Foun"):
            open_meter("auto", on_gpu=True)
        return
    with closing(open_meter("nvml", ["0"])) as meter:
        before = meter.read()
        threading.Event().wait(0.5)
        assert meter.read() > before


def test_nvml_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(UserError, match="nvml: NVML needs the package nvidia-ml-py; pip install"):
        open_meter("nvml")


class Driver:
    """What nvidia-ml-py calls, in place of NVIDIA's shared library: some GPUs that count."""

    def __init__(self, *gpus: str) -> None:
        self.gpus = gpus
        self.millijoules = [1_000_000] * len(gpus)
        self.users = 0
        self.broken = False

    def nvmlInitWithFlags(self, _flags: Any) -> int:  # noqa: N802
        self.users += 1
        return SUCCESS

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.users -= 1
        return SUCCESS

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.gpus)
        return SUCCESS

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:  # noqa: N802
        ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p))[0] = index.value + 1
        return SUCCESS

    def nvmlDeviceGetName(self, handle: Any, name: Any, _length: Any) -> int:  # noqa: N802
        name.value = self.gpus[self._index(handle)].encode()
        return SUCCESS

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, energy: Any) -> int:  # noqa: N802
        if self.broken:
            return int(pynvml.NVML_ERROR_NOT_SUPPORTED)
        energy._obj.value = self.millijoules[self._index(handle)]
        return SUCCESS

    @staticmethod
    def _index(handle: Any) -> int:
        return int(ctypes.cast(handle, ctypes.c_void_p).value or 0) - 1


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    driver = Driver("NVIDIA A", "NVIDIA B")
    monkeypatch.setattr(pynvml, "nvmlLib", driver)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    yield driver
    assert driver.users == 0


def test_a_gpu_counts_millijoules(two_gpus: Driver) -> None:
    with pytest.raises(UserError, match=r"several GPUs; .* 0 \(NVIDIA A\), 1 \(NVIDIA B\)"):
        open_meter("auto", on_gpu=True)
    for name in ("1", "NVIDIA B"):
        with closing(open_meter("auto", [name], on_gpu=True)) as meter:
            assert meter.name == "nvml NVIDIA B"
            two_gpus.millijoules[0] += 9_000
            two_gpus.millijoules[1] += 2_500
            assert meter.read() == pytest.approx(2.5)
            two_gpus.broken = True
            with pytest.raises(TransientError, match="broke off: Not Supported"):
                meter.read()
            two_gpus.broken = False


def test_a_gpu_that_does_not_count(two_gpus: Driver) -> None:
    two_gpus.broken = True
    with pytest.raises(UserError, match="GPU 0 does not count its energy: Not Supported"):
        open_meter("nvml", ["0"])

"""The config's `devices`: spellings, mistakes, and secrets that are kept."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from paretune.errors import UserError
from paretune.evaluators.devices.device import SECTION_KEYS, DeviceSpec
from paretune.evaluators.measuring.job import Setup
from paretune.search.config import Config, load_config
from paretune.search.device_section import DeviceSection, check_devices
from paretune.search.outputs import write_outputs
from tests.search.synthetic import make_info, make_trials

LEAST: dict[str, Any] = {"name": "c", "model": "m:f", "data": "d:f", "objectives": ["accuracy"]}
TOKEN = "hush-hush-4711"

FULL = f"""
model: m.onnx
data: d:f
objectives: [accuracy]
devices:
  here: local
  server: https://server:8571
  board: ssh://me@board:2222
  pi:
    url: http://pi:8571
    token: {TOKEN}
    ca: pi.pem
    runtime: openvino
    runtime_options: {{PERFORMANCE_HINT: LATENCY}}
    threads: 4
    cpus: [0, 1, 2, 3]
    profile: pi.json
  lab.bench-3_b: {{type: bench, slot: 3, api_token: {TOKEN}, token_file: ~/token}}
"""


def of(devices: Any) -> Config:
    return Config.of({**LEAST, "devices": devices}, Path(), "c.yaml")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "c.yaml"
    path.write_text(FULL, encoding="utf-8")
    return load_config(path)


def test_every_spelling_becomes_a_spec(config: Config) -> None:
    assert config.device_specs == (
        DeviceSpec("here", "local"),
        DeviceSpec("server", "http", {"url": "https://server:8571"}),
        DeviceSpec("board", "ssh", {"url": "ssh://me@board:2222"}),
        DeviceSpec(
            "pi",
            "http",
            {"url": "http://pi:8571", "token": TOKEN, "ca": "pi.pem"},
            Setup("openvino", {"PERFORMANCE_HINT": "LATENCY"}, 4, (0, 1, 2, 3)),
        ),
        DeviceSpec(
            "lab.bench-3_b",
            "bench",
            {"slot": 3, "api_token": TOKEN, "token_file": "~/token"},
        ),
    )
    assert config.devices is not None
    assert config.devices["pi"].profile == Path("pi.json")


def test_without_devices_there_is_this_host() -> None:
    [spec] = Config.of(LEAST, Path(), "c.yaml").device_specs
    assert spec == DeviceSpec("host", "local")


def test_a_mapping_without_type_and_address_is_this_host() -> None:
    [spec] = of({"two": {"threads": 2}}).device_specs
    assert spec == DeviceSpec("two", "local", setup=Setup(threads=2))


def test_a_url_may_go_with_any_plugin() -> None:
    [spec] = of({"x": {"type": "bench", "url": "http://x"}}).device_specs
    assert (spec.type, spec.options) == ("bench", {"url": "http://x"})
    [spec] = of({"x": "usb://3"}).device_specs
    assert (spec.type, spec.options) == ("usb", {"url": "usb://3"})


def test_its_own_keys_are_those_that_plugins_offer() -> None:
    assert DeviceSection.model_fields.keys() - {"url"} == set(SECTION_KEYS)


def test_secrets_are_not_stored(config: Config, tmp_path: Path) -> None:
    stored = config.model_dump(mode="json")
    assert TOKEN not in str(stored)
    assert TOKEN not in repr(config)
    assert TOKEN not in str(config)
    # All else is there, and is read back.
    again = Config.of(stored, config.base, "stored")
    assert again.device_specs[:3] == config.device_specs[:3]
    assert again.device_specs[3].options == {"url": "http://pi:8571", "ca": "pi.pem"}
    assert again.device_specs[3].setup == config.device_specs[3].setup
    assert again.device_specs[4].options == {"slot": 3, "token_file": "~/token"}
    assert Config.of(again.model_dump(mode="json"), config.base, "stored") == again
    info = make_info(config=stored)
    for path in write_outputs(info, make_trials(4), tmp_path / "outputs"):
        assert TOKEN.encode() not in path.read_bytes()
    written = yaml.safe_load((tmp_path / "outputs" / "config.yaml").read_text())
    assert written["devices"]["pi"]["threads"] == 4


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        ({"pi": 3}, "devices.pi: must be local, http://host:port, .* or a mapping, but got 3"),
        ({"pi": None}, "devices.pi: must be local, .* or a mapping, but got None"),
        (["local"], r"devices: must be a mapping, but got \['local'\]"),
        ({}, "devices: must name at least one"),
        ({"a b": "local"}, "devices: a device's name begins with a letter .* but got 'a b'"),
        ({"../x": "local"}, r"a device's name begins .* but got '\.\./x'"),
        ({"a@b": "local"}, "a device's name begins .* but got 'a@b'"),
        ({3: "local"}, "a device's name begins .* but got 3"),
        ({"pi": "http://"}, "devices.pi: 'http://' is no address; allowed are local, http://host"),
        ({"pi": {"url": "pi:8571"}}, "devices.pi: 'pi:8571' is no address"),
        ({"pi": {"url": 3}}, "devices.pi.url: must be text, but got 3"),
        ({"pi": "http://me:pw@pi"}, "devices.pi: an address must not hold a password"),
        ({"pi": {"threads": 0}}, "devices.pi.threads: must be greater than 0, but got 0"),
        ({"pi": {"threads": "2"}}, "devices.pi.threads: must be a whole number, but got '2'"),
        ({"pi": {"cpus": []}}, "devices.pi.cpus: must name at least one"),
        ({"pi": {"cpus": [-1]}}, r"devices.pi.cpus\[0\]: must be greater than or equal to 0"),
        ({"pi": {"cpus": "0-3"}}, "devices.pi.cpus: must be a list, but got '0-3'"),
        ({"pi": {"runtime_options": 1}}, "devices.pi.runtime_options: must be a mapping"),
        ({"pi": {"profile": 1}}, "devices.pi.profile: must be a path, but got 1"),
    ],
)
def test_mistakes_are_named(devices: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        of(devices)
    assert str(caught.value).startswith("c.yaml: ")
    assert "\n" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_a_mistake_beside_a_secret_does_not_show_it() -> None:
    with pytest.raises(UserError) as caught:
        of({"pi": {"url": "http://pi", "token": TOKEN, "threads": "x"}})
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("name", ["lokal", "http:/pi:8571", "htp://pi"])
def test_a_type_that_no_plugin_has(name: str) -> None:
    with pytest.raises(
        UserError,
        match=r"devices.pi: unknown type '\S+'.*; allowed are local, http://host:port.* types http"
        ", local, ssh",
    ):
        check_devices(of({"pi": name}).device_specs)
    check_devices(of({"pi": "local"}).device_specs)


def test_a_name_that_is_nearly_right() -> None:
    message = re.escape("unknown type 'lokal'; nearest is 'local'")
    with pytest.raises(UserError, match=message):
        check_devices(of({"pi": "lokal"}).device_specs)

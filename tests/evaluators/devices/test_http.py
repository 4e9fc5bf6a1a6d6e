"""The device `http`: its options, and connecting to a real agent."""

import datetime
import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from paretune.errors import UserError
from paretune.evaluators.devices.http import HttpPlugin
from paretune.evaluators.measuring.conditions import machine_id
from tests.evaluators.devices.running import TOKEN, AgentProcess, real_job

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    running = AgentProcess(tmp_path_factory.mktemp("agent"))
    yield running
    running.close()


@pytest.mark.parametrize("way", ["token", "token_env", "token_file", "default"])
def test_the_token_comes_from_where_the_user_says(
    agent: AgentProcess, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv("BOARD_TOKEN", TOKEN)
    monkeypatch.setenv("PARETUNE_TOKEN", TOKEN if way == "default" else "another-one-that-is-wrong")
    options = {
        "token": {"token": TOKEN},
        "token_env": {"token_env": "BOARD_TOKEN"},
        "token_file": {"token_file": str(tmp_path / "token")},
        "default": {},
    }[way]
    device = HttpPlugin.connect("pi", {"url": agent.url, **options})
    assert device.machine == machine_id()
    device.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"token": "x" * 20}, "at http://.* refuses the token: the token is missing or wrong"),
        ({"token": TOKEN, "token_env": "T"}, "give one of token and token_env, not both"),
        ({"token": "has space"}, "'token' holds no token"),
        ({"token_file": "/no/such/file"}, "cannot read the token in the file '/no/such/file'"),
        ({"token_env": "NOT_SET"}, "the environment variable NOT_SET is not set"),
        ({}, "the environment variable PARETUNE_TOKEN is not set"),
        ({"token": TOKEN, "ca": "/no/cert"}, "'ca' needs an https:// address"),
        ({"token": TOKEN, "url": "https://b:1", "ca": "/no/cert"}, "the certificate '/no/cert'"),
        ({"token": TOKEN, "url": "https://b:1", "ca": __file__}, "cannot read the certificate"),
        ({"token": TOKEN, "url": "board:8571"}, "url: must be like .* but got 'board:8571'"),
        ({"token": TOKEN, "url": "http://me:pw@board"}, "url: must be like"),
        ({"token": TOKEN, "url": "http://board:port"}, "url: cannot read the address"),
        ({"token": TOKEN, "patience": "soon"}, "patience: cannot read the time 'soon'"),
        ({"token": TOKEN, "patience": 0}, "patience"),
        ({"tokn": TOKEN}, "unknown key 'tokn'; nearest is 'token'"),
        ({"thread": 4}, "unknown key 'thread'; nearest is 'threads'; .* token, .* profile$"),
    ],
)
def test_mistakes_in_the_options(
    agent: AgentProcess,
    options: dict[str, Any],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PARETUNE_TOKEN", raising=False)
    with pytest.raises(UserError, match=rf"^device 'pi'.*{message}"):
        HttpPlugin.connect("pi", {"url": agent.url, **options})


def test_a_wrong_token_is_not_in_the_message(agent: AgentProcess) -> None:
    with pytest.raises(UserError) as caught:
        HttpPlugin.connect("pi", {"url": agent.url, "token": "wrong-but-still-a-secret"})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", [NOWHERE, "http://no-such-host.invalid:8571"])
def test_nothing_there(url: str) -> None:
    with pytest.raises(UserError, match=rf"'pi' does not answer at {url}: .* serve` running there"):
        HttpPlugin.connect("pi", {"url": url, "token": TOKEN, "patience": 0.05})


def test_a_proxy_is_for_the_internet(agent: AgentProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, NOWHERE)
    HttpPlugin.connect("pi", agent.options).close()


def certificate(folder: Path, address: str) -> tuple[str, str]:
    """Files with a certificate that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "board")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False
        )
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(paths[0]), str(paths[1])


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_tls_trusts_what_the_user_trusts(tmp_path: Path, address: str) -> None:
    cert, key = certificate(tmp_path, address)
    agent = AgentProcess(tmp_path, "--cert", cert, "--key", key)
    options = {**agent.options, "patience": 0.1}
    try:
        assert agent.url.startswith("https://")
        with pytest.raises(UserError, match=r"CERTIFICATE_VERIFY_FAILED.*; the option 'ca' names"):
            HttpPlugin.connect("pi", options)
        if address == "127.0.0.1":
            device = HttpPlugin.connect("pi", {**options, "ca": cert})
            assert device.run(real_job(tmp_path)).figures["load"].value > 0
            device.close()
        else:
            with pytest.raises(UserError, match="not valid for '127.0.0.1'"):
                HttpPlugin.connect("pi", {**options, "ca": cert})
    finally:
        agent.close()

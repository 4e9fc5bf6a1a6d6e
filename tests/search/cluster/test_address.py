"""How a cluster is spelled."""

import re

import pytest

from paretune.errors import UserError
from paretune.search.cluster.address import ClusterSpec, split_address


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("local", ClusterSpec()),
        ("local:1", ClusterSpec(processes=1)),
        ("local:64", ClusterSpec(processes=64)),
        ("tcp://server:8786", ClusterSpec("tcp://server:8786")),
        ("tls://10.0.0.7:1", ClusterSpec("tls://10.0.0.7:1")),
        ("tcp://[fe80::1]:8786", ClusterSpec("tcp://[fe80::1]:8786")),
    ],
)
def test_it_is_read_and_written_alike(text: str, spec: ClusterSpec) -> None:
    assert ClusterSpec.parse(text) == spec
    assert str(spec) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lokal",
        "local:",
        "local:0",
        "local:-1",
        "local:2.5",
        "local:04",
        "local:two",
        "Local:2",
        " local",
        "4",
        "server:8786",
        "http://server:8786",
        "tcp://",
        "tcp://server",
        "tcp://server:",
        "tcp://server:0",
        "tcp://server:65536",
        "tcp://server:port",
        "tcp://:8786",
        "tcp://server:8786/",
        "tcp://server:8786/path",
        "tcp://server:8786?a",
        "tcp://server:8786#a",
        "tcp://me@server:8786",
        "tcp://ser ver:8786",
        "tcp://server:8786\n",
        "tcp://[::1:8786",
        "TCP://server:8786",
    ],
)
def test_what_is_allowed_is_named(text: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"'{text}'; allowed are local:4")) as caught:
        ClusterSpec.parse(text)
    assert "tcp://host:port or tls://host:port" in str(caught.value)


def test_an_address_is_split() -> None:
    assert split_address("tls://[fe80::1]:8786") == ("fe80::1", 8786)

"""The config's `limits`."""

from pathlib import Path
from typing import Any

import pytest

from paretune.errors import UserError
from paretune.search.config import Config, LimitsSection


def config(limits: Any) -> Config:
    least = {"name": "c", "model": "m:f", "data": "d:f", "objectives": ["accuracy"]}
    return Config.of({**least, "limits": limits}, Path(), "c.yaml")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, LimitsSection()),
        ({"seconds": 2.5, "memory": 1 << 30}, LimitsSection(seconds=2.5, memory=1 << 30)),
        ({"seconds": "10m", "memory": "4GiB"}, LimitsSection(seconds=600.0, memory=4 << 30)),
        ({"seconds": None, "memory": "512 MB"}, LimitsSection(memory=512 * 10**6)),
    ],
)
def test_spellings(given: dict[str, Any], expected: LimitsSection) -> None:
    found = config(given)
    assert found.limits == expected
    # As it is stored with the study.
    assert config(found.model_dump(mode="json")["limits"]).limits == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"memory": "lots"}, "limits.memory: cannot read the size 'lots'; allowed are spellings"),
        ({"memory": 0}, "limits.memory: "),
        ({"seconds": "soon"}, "limits.seconds: cannot read the time 'soon'"),
        ({"seconds": -1}, "limits.seconds: "),
        ({"time": 3}, "limits.time: unknown key"),
    ],
)
def test_mistakes(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"c.yaml: {message}"):
        config(given)

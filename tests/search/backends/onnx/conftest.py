from collections.abc import Callable
from functools import cache

import pytest

from paretune.search.backends.onnx import OnnxPrepared
from tests.search.backends.onnx.zoo import prepare

Zoo = Callable[[str], OnnxPrepared]


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """Prepared members of the zoo by name, each prepared once."""
    return cache(lambda name: prepare(name, tmp_path_factory.mktemp("zoo") / name))

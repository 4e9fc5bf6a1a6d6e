from pathlib import Path

import pytest

from paretune.evaluators.accuracy import AccuracyOptions
from paretune.importing import import_object
from paretune.search.config import load_config

CONFIGS = sorted(Path("experiments").glob("*.yaml"))


def test_all_experiments_are_here() -> None:
    assert [path.stem for path in CONFIGS] == [
        "digits",
        "fashion_resnet",
        "fashion_runtimes",
        "minilm_reuters",
        "ppocr_lines",
    ]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_config_parses_and_points_to_functions(path: Path) -> None:
    config = load_config(path)
    assert config.name == path.stem
    assert config.output == Path("runs") / path.stem
    assert callable(import_object(config.model, what="model"))
    assert callable(import_object(config.data, what="data"))
    for section in config.evaluators:
        if section.type == "accuracy":
            options = AccuracyOptions.model_validate(section.options)
            for given in options.functions.values():
                assert isinstance(given.function, str)
                assert callable(import_object(given.function, what="function"))

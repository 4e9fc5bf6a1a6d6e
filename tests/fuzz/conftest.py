"""`python -m pytest tests/fuzz --fuzz 10000`: so many inputs for every property here.

Without the option it is hypothesis's own number. The seed is shown, so that a run can be repeated:
`--hypothesis-seed`.
"""

import random

import pytest
from hypothesis import settings

OPTION = "--fuzz"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        OPTION, type=int, metavar="N", help="mutated inputs for every property of tests/fuzz"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if (examples := config.getoption(OPTION, default=None)) is None:
        return
    settings.register_profile(
        "fuzz", deadline=None, max_examples=examples, database=None, print_blob=True
    )
    settings.load_profile("fuzz")
    if config.option.hypothesis_seed is None:
        # Before hypothesis reads it.
        config.option.hypothesis_seed = str(random.SystemRandom().getrandbits(32))


def pytest_report_header(config: pytest.Config) -> str | None:
    if (examples := config.getoption(OPTION, default=None)) is None:
        return None
    return f"fuzz: {examples} inputs a property, --hypothesis-seed={config.option.hypothesis_seed}"

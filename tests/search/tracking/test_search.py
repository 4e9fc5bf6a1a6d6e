"""A whole search whose MLflow server is away from the beginning."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from paretune.errors import UserError
from paretune.search.api import run_search
from paretune.search.config import Config
from tests.search.tiny import config, project
from tests.search.tracking.studies import DEAD

__all__ = ["project"]


def test_a_search_that_was_begun_goes_on_without_mlflow(project: Path) -> None:
    def searching(trials: int, uri: str | None) -> Config:
        search = {"trials": trials, "sampler": "random"}
        return Config.of(
            config(name="tiny", search=search, tracking={"uri": uri}), project, "a test"
        )

    # A new one is refused: it may be a typing error.
    with pytest.raises(UserError, match=f"cannot reach MLflow at '{DEAD}'"):
        run_search(searching(3, DEAD))
    assert len(run_search(searching(3, None)).store.trials()) == 3
    said = io.StringIO()
    study = run_search(searching(5, DEAD), console=Console(file=said, width=1000))
    assert len(study.store.trials()) == 5
    assert f"MLflow at '{DEAD}' fails, the search goes on without it" in said.getvalue()
    assert f"`paretune sync {study.folder}` will catch up" in said.getvalue()

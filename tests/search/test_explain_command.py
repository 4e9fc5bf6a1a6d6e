"""`paretune explain`: what it prints and writes, and how mistakes end."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from paretune.search.info import StudyInfo
from paretune.search.outputs import write_outputs
from paretune.search.store import StudyStore
from paretune.search.trial import Trial
from tests.search.command import paretune, refused
from tests.search.explaining.planted import info, planted
from tests.search.synthetic import make_device_info, make_device_trials


def stored(folder: Path, about: StudyInfo, trials: Sequence[Trial]) -> str:
    with StudyStore.create(folder, about) as store:
        for trial in trials:
            store.record(trial)
    return str(folder)


@pytest.fixture
def study(tmp_path: Path) -> str:
    return stored(tmp_path / "study", info(), planted(60))


def test_tables_json_and_page_come_from_the_store_alone(study: str, tmp_path: Path) -> None:
    shown = paretune("explain", study)
    assert shown.exit_code == 0
    assert "planted: what the search learned" in shown.stdout
    assert "conv1 in int8: accuracy -0.0" in shown.stdout
    data = json.loads(paretune("explain", study, "--json").stdout)
    assert data["measured"] == 60
    assert data["protect"]["accuracy"][0]["words"] == "conv1 in int8"
    page = tmp_path / "page.html"
    assert f"the page is in {page}" in paretune("explain", study, "--html", str(page)).stdout
    assert "conv1 in int8" in page.read_text(encoding="utf-8")


def test_too_few_trials_end_with_1(tmp_path: Path) -> None:
    study = stored(tmp_path / "study", info(), planted(12))
    result = paretune("explain", study)
    assert result.exit_code == 1
    assert "too few trials to tell: 12 measured" in result.stdout
    assert paretune("explain", study, "--json").exit_code == 1


def test_mistakes_are_one_message(study: str, tmp_path: Path) -> None:
    assert refused("explain", study, "--json", "--html", "x.html") == (
        "--json and --html exclude each other"
    )
    assert "no study in" in refused("explain", str(tmp_path / "nothing"))
    assert "no device 'pi'" in refused("explain", study, "--device", "pi")
    missing = str(tmp_path / "no" / "page.html")
    message = refused("explain", study, "--html", missing).replace("\n", "")
    assert message == f"cannot write the page '{missing}': No such file or directory"


def test_a_device_has_its_own_explanation(tmp_path: Path) -> None:
    about, trials = make_device_info(), make_device_trials(30)
    study = stored(tmp_path / "study", about, trials)
    data = json.loads(paretune("explain", study, "--device", "pi", "--json").stdout)
    assert [one["metric"] for one in data["objectives"]] == ["accuracy", "latency_ms@pi"]
    assert [one["quality"] for one in data["objectives"]] == [True, False]
    everywhere = json.loads(paretune("explain", study, "--json").stdout)
    assert len(everywhere["objectives"]) == 3


def test_the_page_is_among_the_outputs(tmp_path: Path) -> None:
    names = {path.name for path in write_outputs(info(), planted(12), tmp_path)}
    assert "explain.html" in names
    assert "too few trials to tell" in (tmp_path / "explain.html").read_text(encoding="utf-8")


def test_the_page_does_not_tell_how_many_threads_have_made_it(tmp_path: Path) -> None:
    write_outputs(info(), planted(60), tmp_path)
    page = (tmp_path / "explain.html").read_text(encoding="utf-8").partition("<body>")[2]
    assert '"effects"' in page and '"predictions"' in page
    # Rounding differs in the 15th digit.
    assert not re.search(r"\d\.\d{14}", page)


def test_help_says_what_is_told() -> None:
    told = " ".join(paretune("explain", "--help").stdout.split())
    assert "which layers to protect, which are free, which interact" in told
    assert "--html" in told

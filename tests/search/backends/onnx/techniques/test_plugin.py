"""Someone else's package adds a number format and a pattern of zeros, each a short class."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.search.tiny import project, write

__all__ = ["project"]

FORMAT = '''
"""nf4: levels that equally many of normally distributed weights round to (arXiv:2305.14314)."""

from statistics import NormalDist

import numpy as np

from paretune.search.backends.onnx.solvers.uniform import LevelGrid
from paretune.search.backends.onnx.techniques.decoding import block_size, blocks_of
from paretune.search.backends.onnx.techniques.low_bits import Levels

END = 1 - (1 / 30 + 1 / 32) / 2
QUANTILES = [
    *(-NormalDist().inv_cdf(p) for p in np.linspace(END, 0.5, 8)[:-1]),
    0.0,
    *(NormalDist().inv_cdf(p) for p in np.linspace(0.5, END, 9)[1:]),
]


class NF4(Levels):
    def __init__(self):
        super().__init__(np.divide(QUANTILES, max(QUANTILES)))

    def grid(self, source, problem):
        columns = problem.weights.shape[2]
        blocks = blocks_of(source.layer, columns, self.block(columns))
        farthest = np.stack(
            [abs(problem.weights[..., blocks == b]).max(axis=2) for b in range(blocks.max() + 1)],
            axis=2,
        )
        scale = np.where(farthest < 1e-30, 1, farthest).astype(np.float32)
        return LevelGrid(scale, blocks, self.table.astype(np.float64))

    def block(self, columns):
        return block_size(columns)
'''

PATTERN = '''
"""checker:0.5: of every 2 weights of a row one is zero, like the fields of a chess board."""

from dataclasses import dataclass

import numpy as np


@dataclass
class Board:
    amount: float

    def keep(self, scores):
        step = round(1 / self.amount)
        _, rows, columns = np.indices(scores.shape)
        return (rows + columns) % step != 0

    def windows(self, columns):
        return [slice(0, columns)]

    def again(self, scores, kept):
        return kept


class Checker:
    def pattern(self, source, sparsity):
        return Board(sparsity.amount)

    def holds(self, layer, sparsity, kept):
        return not kept[~Board(sparsity.amount).keep(kept)].any()
'''

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from paretune.search.config import SpaceSection
from paretune.search.backends.onnx.techniques import format_of
from paretune.spaces import Policy, Precision, build_space
from tests.search.backends.onnx.running import outputs
from tests.search.backends.onnx.zoo import data_of, prepare

folder = Path(sys.argv[1])
np.testing.assert_allclose(
    format_of(Precision("nf4")).table[[0, 1, 7, 8, 14, 15]],
    [-1, -0.6961928, 0, 0.0795803, 0.7229568, 1],
    atol=1e-6,
)
asked = SpaceSection(precision=["nf4"], sparsity=["checker:0.5", "channel:0.5"])
for name in ("cnn", "dense", "mobile", "text"):
    prepared = prepare(name, folder / name)
    space = build_space(
        prepared.layers, prepared.groups, prepared.capabilities, asked.precision, asked.sparsity
    )
    for layer in prepared.layers:
        assert space.precisions[layer.name] == ("fp32", "nf4")
        wanted = ("dense",) if layer.op_type == "Gather" else ("dense", "checker:0.5")
        assert tuple(map(str, space.sparsities[layer.name])) == wanted, layer
    last = {knob.name: knob.options[-1] for knob in space.knobs}
    errors = {}
    for kind, settings in {
        "nf4": {k: v for k, v in last.items() if k.startswith("precision")},
        "checker": {k: v for k, v in last.items() if k.startswith("sparsity")},
        "all": last,
    }.items():
        policy = space.decode(settings)
        artifact = prepared.apply(policy, folder / f"{name}-{kind}.onnx")
        assert artifact.policy == policy
        assert Policy.from_json(policy.to_json()) == policy
        found, exact = (
            outputs(path, data_of(name))["logits"]
            for path in (artifact.path, prepared.reference.path)
        )
        assert np.isfinite(found).all()
        errors[kind] = np.square(found - exact).mean() / exact.var()
    assert 0 < errors["nf4"] < min(0.05, errors["checker"]), errors
"""

ROOT = Path(__file__).parents[5]


def install(site: Path, name: str, points: str, module: str = "", source: str = "") -> None:
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[paretune.techniques]\n{points}\n")
    if module:
        (site / f"{module}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Where two packages lie, one with a format and one with a pattern."""
    folder = tmp_path / "site"
    install(folder, "acme-normal", "nf4 = acme_normal:NF4", "acme_normal", FORMAT)
    install(folder, "acme-chess", "checker = acme_chess:Checker", "acme_chess", PATTERN)
    return folder


def python(site: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(site), str(ROOT)])
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def refused(site: Path, folder: Path, **changes: Any) -> str:
    """The message of a search in `folder`."""
    write(folder, **changes)
    done = python(site, "-m", "paretune", "space", "tiny.yaml", "--errors")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_models_are_built_read_back_and_run(site: Path, tmp_path: Path) -> None:
    done = python(site, "-c", SCRIPT, str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_a_strangers_format_keeps_the_contract(site: Path) -> None:
    suite = Path(__file__).with_name("test_contract.py")
    done = python(site, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(suite),
                  "-k", "nf4")  # fmt: skip
    assert done.returncode == 0, done.stdout
    # All layers, each of them with three patterns, and five degenerate statistics.
    assert "33 passed" in done.stdout


def test_a_config_offers_them(site: Path, project: Path) -> None:
    write(project, space={"precision": ["nf4", "int8"], "sparsity": ["checker:0.5"]})
    done = python(site, "-m", "paretune", "space", "tiny.yaml", "--json")
    assert done.returncode == 0, done.stderr
    for layer in json.loads(done.stdout)["layers"]:
        assert layer["precisions"] == ["fp32", "nf4", "int8"]
        assert layer["sparsities"] == ["dense", "checker:0.5"]


def test_a_name_taken_twice_names_both_owners(site: Path, project: Path) -> None:
    install(site, "other-normal", "nf4 = other_normal:Other")
    message = refused(site, project, space={"precision": ["nf4"]})
    assert "two packages bring a plugin 'nf4'" in message
    assert "acme-normal (acme_normal:NF4) and other-normal (other_normal:Other)" in message


@pytest.mark.parametrize("name", ["w4", "block"])
def test_so_does_a_name_of_paretunes_own(name: str, site: Path, project: Path) -> None:
    install(site, "other-normal", f"{name} = acme_normal:NF4")
    message = refused(site, project)
    assert f"two packages bring a plugin '{name}'" in message
    assert "other-normal (acme_normal:NF4) and paretune (" in message


@pytest.mark.parametrize("space", [{"precision": ["nf4"]}, {"precision": ["int8"]}])
def test_a_package_that_does_not_import_is_one_message(
    space: dict[str, Any], site: Path, project: Path
) -> None:
    (site / "acme_normal.py").write_text("import not_there_at_all\n")
    message = refused(site, project, space=space)
    assert (
        "the plugin 'nf4' of the package acme-normal (acme_normal:NF4) does not import" in message
    )
    assert "not_there_at_all" in message


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"precision": ["nf5"]}, "unknown precision 'nf5'; nearest is 'nf4'"),
        ({"precision": ["checker"]}, "has no precision 'checker'"),
        ({"sparsity": ["cheker:0.5"]}, "unknown sparsity 'cheker:0.5'; nearest is 'checker'"),
        ({"sparsity": ["nf4:0.5"]}, "'nf4' is a precision, no sparsity"),
        ({"sparsity": ["w4:0.5"]}, "unknown sparsity 'w4:0.5'"),
        ({"sparsity": ["n-m:0.5"]}, "unknown sparsity 'n-m:0.5'"),
        ({"precision": ["block"]}, "unknown precision 'block'"),
    ],
)
def test_mistakes_are_one_message(
    space: dict[str, Any], expected: str, site: Path, project: Path
) -> None:
    assert expected in refused(site, project, space=space)

"""`paretune measure`: what it prints, draws, and refuses."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from matplotlib.image import imread

import paretune
from paretune.search.figures.samples_png import draw_samples
from tests import models
from tests.search.command import paretune as run
from tests.search.command import refused

QUICK = ("--max-seconds", "0.02", "--target", "0.5")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    models.mlp(tmp_path / "fp32.onnx", features=64)
    models.mlp(tmp_path / "large.onnx", features=64, hidden=4096)
    return tmp_path


def _rows(text: str) -> list[str]:
    """Of the table: the caption names models elsewhere, or ends them in a colon."""
    lines = (line for line in text.splitlines() if line.strip())
    return [line for line in lines if line.split()[0].endswith(".onnx")]


def test_a_table_with_conditions(folder: Path) -> None:
    done = run("measure", "fp32.onnx", "large.onnx", "--also", "load, memory", *QUICK)
    assert done.exit_code == 0, done.output
    lines = _rows(done.stdout)
    assert [line.split()[0] for line in lines] == ["fp32.onnx", "large.onnx"]
    # Latency, p90, p99, throughput, load and first run, each with its interval; the ratio.
    assert lines[0].count("±") == 6
    assert lines[1].count("±") == 7
    for text in ("latency ratio", "peak memory", "1 thread on CPU", "batch 1", "CPUExecutionProv"):
        assert text in done.stdout
    assert "inputs, made up: x float32 (1, 64)" in done.stdout
    assert "ratio: to fp32.onnx" in done.stdout


def test_json_and_a_picture(folder: Path) -> None:
    done = run("measure", "fp32.onnx", "large.onnx", "--json", "--plot", "samples.png", *QUICK)
    assert done.exit_code == 0, done.output
    data = json.loads(done.stdout)
    assert [model["model"] for model in data["models"]] == ["fp32.onnx", "large.onnx"]
    assert data["models"][1]["figures"]["latency_ratio"]["low"] > 0
    height, width, _ = imread("samples.png").shape
    assert width > height > 500


def test_the_picture_shows_every_block(folder: Path) -> None:
    found = paretune.measure(["fp32.onnx", "large.onnx"], repeat=2, max_seconds=0.02, target=0.5)
    figure = draw_samples(found)
    panels = figure.axes[::2]
    assert [panel.get_title(loc="left").split("   ")[0] for panel in panels] == [
        "fp32.onnx, round 1",
        "large.onnx, round 1",
        "fp32.onnx, round 2",
        "large.onnx, round 2",
    ]
    for panel, row in zip(panels, found.rows, strict=True):
        points = np.concatenate([line.get_xdata() for line in panel.lines if line.get_marker()])
        sides = 1 if row.model == found.reference else 2
        # The dotted line between the warm-up and the rest has two ends, and no marker.
        shown = [x for x in points if x >= 0]
        assert len(shown) == sides * row.samples["latency"]["count"]
        assert min(points) < 0


def test_rounds(folder: Path) -> None:
    done = run("measure", "fp32.onnx", "large.onnx", "--repeat", "2", *QUICK)
    assert [line.split()[1] for line in _rows(done.stdout)] == ["1", "1", "2", "2"]
    assert "large.onnx: latency_ratio of 2 rounds spreads by " in done.stdout


def test_inputs_from_a_file(folder: Path) -> None:
    np.savez("inputs.npz", x=np.ones((3, 64), np.float32))
    done = run("measure", "fp32.onnx", "--inputs", "inputs.npz", *QUICK)
    assert "inputs: x float32 (3, 64)" in done.stdout
    assert "batch 3" in done.stdout


def test_shapes_options_and_cpus(folder: Path) -> None:
    models.two_inputs(folder / "text.onnx")
    done = run(
        "measure", "text.onnx", "--shape", "ids=2,7", "--shape", "mask=2,7", "--cpus", "0",
        "--runtime", "openvino", "--option", "precision=f32", "--option", "config={PERF_COUNT: no}",
        *QUICK,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "ids int64 (2, 7), mask float32 (2, 7)" in done.stdout
    assert "openvino CPU f32" in done.stdout
    assert "1 thread on CPU 0; batch 2" in done.stdout


def test_a_model_that_does_not_run(folder: Path) -> None:
    broken = onnx.load("fp32.onnx")
    broken.graph.node[0].op_type = "Gem"
    onnx.save(broken, "broken.onnx")
    done = run("measure", "fp32.onnx", "broken.onnx", "large.onnx", *QUICK)
    assert done.exit_code == 1
    assert "broken.onnx failed: ONNX Runtime cannot load" in done.stdout
    assert "Gem" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("none.onnx", "no model file 'none.onnx'"),
        ("text.txt", "'text.txt' cannot be read as an ONNX model"),
        ("fp32.onnx --reference none.onnx", "no model file 'none.onnx'"),
        ("text.onnx", "whose shape is partly free; say it, as in --shape ids=1,128"),
        ("fp32.onnx --shape 1,64", "cannot read --shape '1,64'; allowed are spellings like ids=1"),
        ("fp32.onnx --shape x=1,y", "cannot read --shape x '1,y'"),
        ("fp32.onnx --cpus one", "cannot read --cpus 'one'; allowed are spellings like 0,1"),
        ("fp32.onnx --option precision", "cannot read --option 'precision'"),
        ("fp32.onnx --option a=[", "cannot read --option 'a=['"),
        ("fp32.onnx --inputs text.txt", "'text.txt' must be an .npz file"),
        ("fp32.onnx --plot s.gif", "--plot: 's.gif' must end in .png"),
        ("fp32.onnx --plot none/s.png", "--plot: no folder 'none'"),
        ("fp32.onnx --runtime openvno", "nearest is 'openvino'"),
        ("fp32.onnx --also watts", "cannot also measure 'watts'"),
    ],
)
def test_mistakes(arguments: str, message: str, folder: Path) -> None:
    models.two_inputs(folder / "text.onnx")
    (folder / "text.txt").write_text("hello")
    assert message in refused("measure", *arguments.split())

"""Compressing before the first trial."""

from pathlib import Path

from paretune.errors import Infeasible
from paretune.search.backends.onnx import OnnxPrepared
from paretune.search.preparing import compress_choices
from paretune.spaces import NM, Channel, Choice, Precision, Unstructured, build_space
from tests.search.backends.onnx.zoo import prepare


def test_all_choices_of_all_layers_are_compressed_once(tmp_path: Path) -> None:
    prepared = prepare("cnn", tmp_path)
    space = build_space(
        prepared.layers,
        prepared.groups,
        prepared.capabilities,
        [Precision.INT8, Precision.W4],
        [Unstructured(0.5), NM(2, 4), Channel(0.5)],
        grain=1,
    )
    told: list[tuple[int, int]] = []
    errors = compress_choices(prepared, space, lambda done, total: told.append((done, total)))
    total = told[-1][1]
    assert told == [(done, total) for done in range(total + 1)]
    assert total == sum(len(space.precisions[n]) * len(space.sparsities[n]) for n in errors)
    assert all(row[Choice()] == 0 for row in errors.values())
    pieces = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("pieces/*")}
    assert len(pieces) == sum(choice != Choice() for row in errors.values() for choice in row)

    more = build_space(
        prepared.layers,
        prepared.groups,
        prepared.capabilities,
        [Precision.INT8, Precision.W4, Precision.W8],
        [Unstructured(0.5), NM(2, 4), Channel(0.5)],
        grain=1,
    )
    compress_choices(prepared, more)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("pieces/*")}
    assert {path: after[path] for path in pieces} == pieces, "what is there is not made again"
    assert len(after) > len(pieces)


def test_what_a_layer_cannot_have_is_left_out(tmp_path: Path) -> None:
    class Refusing(OnnxPrepared):
        def compress(self, layer: str, choice: Choice) -> float:
            if choice.precision == Precision.INT8:
                raise Infeasible(f"{layer}: no")
            return super().compress(layer, choice)

    prepared = prepare("cnn", tmp_path)
    refusing = Refusing(prepared._parts, prepared.fingerprint, tmp_path / "cache")
    space = build_space(prepared.layers, [], prepared.capabilities, [Precision.INT8], [])
    errors = compress_choices(refusing, space)
    assert all(row == {Choice(): 0.0} for row in errors.values())

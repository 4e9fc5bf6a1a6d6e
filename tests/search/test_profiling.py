"""A capability profile: what is concluded from what a device measured."""

from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest

from paretune.errors import InferenceError, UserError
from paretune.evaluators.measuring.job import MODEL, REFERENCE, Job, Setup
from paretune.evaluators.measuring.result import Estimate, Result
from paretune.search.backends.onnx import OnnxBackend
from paretune.search.profiling.grain import COUNTS, FULL, PRECISIONS, grain, label
from paretune.search.profiling.measuring import measure_profile
from paretune.search.profiling.place import Place
from paretune.search.profiling.probes import probes
from paretune.search.profiling.profile import Profile, Row, read_profile
from paretune.spaces import (
    NM,
    ONNXRUNTIME_CPU,
    Block,
    Capabilities,
    Channel,
    Drop,
    Layer,
    LowRank,
    Pattern,
    Precision,
    ResidualBlock,
    Support,
    Unstructured,
    build_space,
    parse_sparsity,
)


class _Device:
    """Likes integer convolutions, is slow with 4-bit weights, and refuses dynamic quantization.

    Sixteen channels make a block: what does not fill its last block pays for it.
    """

    machine = "test"

    def run(self, job: Job) -> Result:
        ratio = self._seconds(job.files[MODEL]) / self._seconds(job.files[REFERENCE])
        estimate = Estimate(ratio, ratio * 0.995, ratio * 1.005)
        return Result({"ratio": estimate}, conditions={"host": "board"})

    def close(self) -> None:
        pass

    @staticmethod
    def _seconds(path: str) -> float:
        graph = onnx.load(path).graph
        kinds = {node.op_type for node in graph.node}
        if "DynamicQuantizeLinear" in kinds:
            raise InferenceError("no DynamicQuantizeLinear here")
        seconds = 1.0
        if "Conv" in kinds and "QuantizeLinear" in kinds:
            seconds *= 0.5
        if "MatMulNBits" in kinds:
            seconds *= 1.3
        widths = [w.dims[0] for w in graph.initializer if len(w.dims) == 4]
        if widths and max(widths) < FULL:
            blocks, rest = divmod(max(widths), 16)
            seconds *= (blocks + (2 if rest else 0)) / (FULL / 16)
        return seconds


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    told: list[tuple[str, int, int]] = []
    place = Place(_Device(), Setup(), OnnxBackend(), tmp_path_factory.mktemp("profile"))
    found = measure_profile(place, lambda row, done, total: told.append((row.probe, done, total)))
    assert [done for _, done, _ in told] == list(range(1, len(found.rows) + 1))
    return found


def test_what_is_faster_on_some_probe_is_native(profile: Profile) -> None:
    table = profile.capabilities
    assert table.of_precision(Precision.INT8, "Conv") is Support.NATIVE
    assert table.of_precision(Precision.FP32, "Conv") is Support.NATIVE
    assert table.sparsities[Channel] is Support.NATIVE


def test_what_is_slower_or_the_same_is_merely_stored(profile: Profile) -> None:
    table = profile.capabilities
    assert ONNXRUNTIME_CPU.of_precision(Precision.W4, "MatMul") is Support.NATIVE
    assert table.of_precision(Precision.W4, "MatMul") is Support.STORAGE
    assert table.of_precision(Precision.INT8, "Gemm") is Support.STORAGE
    assert table.sparsities[NM] is Support.STORAGE


def test_what_is_refused_is_left_out(profile: Profile) -> None:
    assert profile.capabilities.of_precision(Precision.INT8_DYNAMIC, "MatMul") is None
    refused = [row for row in profile.rows if row.choice == "int8-dynamic"]
    assert refused
    assert all("no DynamicQuantizeLinear here" in row.refused for row in refused)


def test_what_is_not_timed_is_as_the_backend_knows_it(profile: Profile) -> None:
    table, timed = profile.capabilities, {row.choice for row in profile.rows}
    for (precision, op_type), support in ONNXRUNTIME_CPU.precisions.items():
        if precision in Precision.OTHERS:
            assert precision not in timed
            assert table.of_precision(precision, op_type) is support is Support.STORAGE
    native = {kind for kind, found in table.sparsities.items() if found is Support.NATIVE}
    assert native == {Channel, LowRank, Drop}
    assert table.sparsities.keys() - native == {Unstructured, NM, Block, Pattern}


def test_a_search_with_a_profile_is_offered_them(profile: Profile) -> None:
    conv = Layer("conv", "Conv", (64, 64, 3, 3), 36928, 1000)
    asked = [Precision("w3"), Precision("palette4")]
    sparsity = [parse_sparsity(text) for text in ("rank:0.5", "block:0.5", "drop")]
    block = ResidualBlock("conv", ("conv",))
    for storage in (True, False):
        space = build_space(
            [conv], [], profile.capabilities, asked, sparsity, storage=storage, blocks=[block]
        )
        assert space.precisions["conv"] == (Precision.FP32, *(asked if storage else ()))
        offered = {str(one) for one in space.sparsities["conv"]}
        assert offered == {"dense", "rank:0.5", *({"block:0.5"} if storage else ())}
        assert space.blocks == (block,)


def test_the_grain_is_where_fewer_channels_are_never_slower(profile: Profile) -> None:
    # 63, 62, 60 and 56 channels pay for a fifth block.
    assert profile.capabilities.channel_grain == 16


def test_every_operator_of_the_backend_is_probed() -> None:
    assert {probe.op_type for probe in probes()} == {op for _, op in ONNXRUNTIME_CPU.precisions}


def test_conditions_are_kept_and_the_file_reads_back(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "pi.json"
    path.write_text(profile.to_json())
    again = read_profile(path)
    assert again.conditions == {"host": "board"}
    assert again.capabilities == profile.capabilities
    assert again.rows == profile.rows


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": 99}', '{"version": 1, "capabilities": {}}']
)
def test_another_file_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(UserError, match="is no profile .* paretune device profile"):
        read_profile(path)


def test_a_missing_profile_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.json' cannot be read: No such file"):
        read_profile(tmp_path / "nothing.json")


def _ratios(ratios: Mapping[int, float]) -> list[Row]:
    return [
        Row("", "Conv", label(precision, COUNTS[count]), ratio, ratio, ratio)
        for precision in PRECISIONS
        for count, ratio in ratios.items()
    ]


def test_a_grain_counts_only_if_all_larger_ones_do() -> None:
    assert grain(_ratios({1: 1.4, 2: 1.4, 4: 1.1, 8: 0.9, 16: 0.8})) == 8
    assert grain(_ratios({1: 0.95, 2: 0.95, 4: 0.94, 8: 0.9, 16: 0.8})) == 1
    assert grain(_ratios({1: 0.95, 2: 0.95, 4: 1.3, 8: 0.9, 16: 0.8})) == 8
    # Fewer channels for nothing.
    assert grain(_ratios({1: 1.0, 2: 1.0, 4: 1.0, 8: 1.0, 16: 0.8})) == 16
    assert grain(_ratios({1: 1.4, 2: 1.4, 4: 1.4, 8: 1.4, 16: 1.2})) == 16


def test_a_search_on_several_devices_is_offered_what_one_of_them_does_natively() -> None:
    def table(int8: Support | None, grain: int) -> Capabilities:
        precisions = {(Precision.FP32, "Conv"): Support.NATIVE}
        if int8:
            precisions[Precision.INT8, "Conv"] = int8
        return Capabilities("r", precisions, {Channel: Support.NATIVE}, grain)

    both = Capabilities.any_of([table(Support.STORAGE, 4), table(Support.NATIVE, 8)])
    assert both.of_precision(Precision.INT8, "Conv") is Support.NATIVE
    assert both.channel_grain == 8
    one = Capabilities.any_of([table(None, 4), table(Support.NATIVE, 8)])
    assert one.of_precision(Precision.INT8, "Conv") is None

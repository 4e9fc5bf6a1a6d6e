"""Measuring a profile: every choice on every probe, against the untouched probe."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from paretune.errors import CandidateError, Infeasible
from paretune.evaluators.devices.connecting import connect
from paretune.evaluators.devices.device import DeviceSpec
from paretune.evaluators.measuring.result import Result
from paretune.search.backends import Prepared
from paretune.search.backends.onnx import OnnxBackend
from paretune.search.profiling.grain import COUNTS, PRECISIONS, grain, measure_grain
from paretune.search.profiling.place import Place, row_of
from paretune.search.profiling.probes import Probe, probes
from paretune.search.profiling.profile import Profile, Row
from paretune.spaces import (
    NM,
    Capabilities,
    Choice,
    Dense,
    Precision,
    Sparsity,
    Support,
    Unstructured,
)

GAIN = 0.9
"""A choice is native where its ratio is surely below.

Nearer to 1 may be luck: where memory came to lie shifts the time of a layer of some microseconds by
5%, for as long as the model is loaded.
"""

_TIMED = tuple(p for p in Precision.USUAL if p != Precision.FP32)
"""The others are decoded when the model is loaded, or, as fp32, what these are compared with."""

_SPARSE: tuple[Sparsity, ...] = (Unstructured(0.5), NM(2, 4))
"""Other zeros take as long as these; fewer channels, lower ranks and dropped blocks are fewer
operations on any device."""

Told = Callable[[Row, int, int], None]
"""Is told each row, how many there are, and of about how many."""


def profile_device(spec: DeviceSpec, tell: Told) -> Profile:
    """Connect to a device and measure its profile, with choices as the ONNX backend builds them.

    Raises:
        UserError: the device is not there, or does not run the reference.
        TransientError: it went away.
    """
    device = connect(spec)
    try:
        with TemporaryDirectory(prefix="paretune-profile-") as folder:
            return measure_profile(Place(device, spec.setup, OnnxBackend(), Path(folder)), tell)
    finally:
        device.close()


def measure_profile(place: Place, tell: Told) -> Profile:
    """Time all choices that the backend can build on all probes.

    Raises:
        TransientError: the device went away.
    """
    chosen = probes()
    total = len(chosen) * (len(_TIMED) + len(_SPARSE)) + len(COUNTS) * len(PRECISIONS)
    tables: list[Capabilities] = []
    rows: list[Row] = []
    conditions: dict[str, object] = {}

    def take(measured: Iterator[tuple[Row, Result | None]]) -> None:
        for row, result in measured:
            rows.append(row)
            if result is not None:
                conditions.update(result.conditions)
            tell(row, len(rows), total)

    for probe in chosen:
        prepared = place.prepare(probe)
        tables.append(prepared.capabilities)
        take(_measure_choices(place, probe, prepared))
    take(measure_grain(place))
    table = capabilities(place.setup.runtime, tables[0], rows)
    return Profile(table, rows, conditions)


def capabilities(runtime: str, known: Capabilities, rows: Sequence[Row]) -> Capabilities:
    """What the rows say of the choices that the backend can build.

    Native is what surely made a probe faster. What kept or raised the latency is merely stored.
    What the device refused on all probes is left out. What is not timed is as the backend knows it.

    Args:
        runtime: its name.
        known: the backend's own table.
        rows: of all probes.
    """
    precisions: dict[tuple[Precision, str], Support] = {}
    for (precision, op_type), untimed in known.precisions.items():
        if precision not in _TIMED:
            precisions[precision, op_type] = untimed
            continue
        found = [r for r in rows if (r.choice, r.op_type) == (str(precision), op_type)]
        if support := _support(found):
            precisions[precision, op_type] = support
    timed = {type(sparsity) for sparsity in _SPARSE}
    sparsities = {kind: known.sparsities[kind] for kind in known.sparsities if kind not in timed}
    for sparsity in _SPARSE:
        if support := _support([row for row in rows if row.choice == str(sparsity)]):
            sparsities[type(sparsity)] = support
    return Capabilities(runtime, precisions, sparsities, grain(rows))


def _support(rows: Sequence[Row]) -> Support | None:
    highs = [row.high for row in rows if row.high is not None]
    if not highs:
        return None
    return Support.NATIVE if min(highs) < GAIN else Support.STORAGE


def _measure_choices(
    place: Place, probe: Probe, prepared: Prepared
) -> Iterator[tuple[Row, Result | None]]:
    for choice in _choices(prepared, probe.op_type):
        dense = isinstance(choice.sparsity, Dense)
        name = str(choice.precision if dense else choice.sparsity)
        try:
            candidate = place.build(prepared, choice, "candidate.onnx")
            result = place.measure(probe, candidate, prepared.reference.path)
        except (Infeasible, CandidateError) as error:
            yield Row(probe.name, probe.op_type, name, refused=str(error)), None
        else:
            yield row_of(probe, name, result), result


def _choices(prepared: Prepared, op_type: str) -> list[Choice]:
    table = prepared.capabilities
    offered = [p for p in _TIMED if table.of_precision(p, op_type)]
    sparse = [s for s in _SPARSE if all(layer.fits(s) for layer in prepared.layers)]
    return [Choice(p) for p in offered] + [Choice(Precision.FP32, s) for s in sparse]

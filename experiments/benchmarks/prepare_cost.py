"""What preparing costs: every layer of an experiment under every choice of a wide space.

Beside the seconds: the peak resident memory of the process, the bytes of the store relative to the
model's, and the seconds that adding one choice and preparing again then take.

Run: python -m experiments.benchmarks.prepare_cost [EXPERIMENT ...]
"""

import argparse
import json
import logging
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

from experiments.benchmarks.laboratory import Laboratory
from paretune.search.preparing import compress_choices
from paretune.spaces import NM, Precision, Unstructured, build_space

EXPERIMENTS = ("fashion_resnet", "minilm_reuters")
PRECISIONS = Precision.USUAL
SPARSITIES = (Unstructured(0.5), NM(2, 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS, metavar="EXPERIMENT")
    names = parser.parse_args().experiments
    figures = {}
    for name in names:
        # In a process of its own, whose peak is its own.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            figures[name] = pool.apply(_measure, (name,))
        print(name, figures[name], flush=True)
    print(json.dumps(figures))


def _measure(name: str) -> dict[str, float]:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        laboratory = Laboratory.of(name, Path(folder))
        start = time.perf_counter()
        prepared = laboratory.prepare()
        calibrated = time.perf_counter() - start

        def compress(*more: Precision) -> float:
            begin = time.perf_counter()
            space = build_space(
                prepared.layers,
                prepared.groups,
                prepared.capabilities,
                (*PRECISIONS, *more),
                SPARSITIES,
            )
            compress_choices(prepared, space)
            return time.perf_counter() - begin

        whole = compress()
        again = compress()
        added = compress(Precision("w2"))
        model = prepared.reference.path.stat().st_size
        stored = sum(f.stat().st_size for f in laboratory.folder.rglob("*") if f.is_file())
    return {
        "calibrate_s": round(calibrated, 1),
        "compress_s": round(whole, 1),
        "again_s": round(again, 2),
        "one_more_s": round(added, 1),
        "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "store_ratio": round(stored / model, 2),
    }


if __name__ == "__main__":
    main()

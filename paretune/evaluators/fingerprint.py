"""A hash of the data, so that a study is not resumed on other data."""

import hashlib

from paretune.evaluators.data import Array, Splits


def fingerprint(splits: Splits) -> str:
    """SHA-256 (hexadecimal) of all names, element types, shapes and values, split by split.

    The order of a batch's inputs does not matter; how samples are cut into batches does.
    """
    digest = hashlib.sha256()
    for name, batches in (
        ("calibration", splits.calibration),
        ("search", splits.search),
        ("test", splits.test),
    ):
        digest.update(f"split {name} {len(batches)}\n".encode())
        for batch in batches:
            for key in sorted(batch.inputs):
                _update(digest, f"input {key}", batch.inputs[key])
            if batch.targets is not None:
                _update(digest, "targets", batch.targets)
    return digest.hexdigest()


def _update(digest: "hashlib._Hash", label: str, array: Array) -> None:
    digest.update(f"{label} {array.dtype.str} {array.shape}\n".encode())
    if array.dtype.hasobject:
        # The bytes of an object array are addresses.
        digest.update(repr(array.tolist()).encode())
    else:
        digest.update(array.tobytes())

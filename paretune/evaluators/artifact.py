"""An artifact: an ONNX file with the policy read back from it."""

from dataclasses import dataclass
from pathlib import Path

from paretune.spaces import Policy


@dataclass(frozen=True)
class Artifact:
    """A model that plain ONNX Runtime loads.

    Attributes:
        path: the `.onnx` file.
        policy: what was read back from the file, not what was asked for.
        sha256: of the file's bytes, in hexadecimal.
    """

    path: Path
    policy: Policy
    sha256: str

"""What every backend is: it prepares a model once, then turns policies into artifacts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from paretune.evaluators import Artifact, Batch
from paretune.spaces import Capabilities, ChannelGroup, Choice, Layer, Policy, ResidualBlock


class Prepared(Protocol):
    """A model, ready for any policy.

    Attributes:
        fingerprint: hash of the model, the calibration data and the options; a study whose
            fingerprint differs is another study.
        layers: in graph order.
        groups: layers whose channels are tied.
        blocks: residual blocks that can be dropped.
        capabilities: of the runtime that will serve the artifacts.
        reference: the uncompressed fp32 artifact.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def layers(self) -> Sequence[Layer]: ...
    @property
    def groups(self) -> Sequence[ChannelGroup]: ...
    @property
    def blocks(self) -> Sequence[ResidualBlock]: ...
    @property
    def capabilities(self) -> Capabilities: ...
    @property
    def reference(self) -> Artifact: ...

    def compress(self, layer: str, choice: Choice) -> float:
        """Compress one layer of the uncompressed model, and keep the result for `apply`.

        Args:
            choice: without removed channels.

        Returns:
            Mean square of what the layer's output changes by on the calibration data, relative to
            that of the output: the cheapest sign of how sensitive the layer is.

        Raises:
            Infeasible: the choice cannot be honoured.
        """
        ...

    def apply(self, policy: Policy, path: Path) -> Artifact:
        """Write the artifact of `policy` to `path`. Pure: same policy, same bytes.

        Args:
            policy: canonical for the space built from `layers`, `groups` and `blocks`.
            path: the `.onnx` file to write, whole or not at all.

        Raises:
            Infeasible: a choice cannot be honoured; the message says which and why.
        """
        ...


class Backend(Protocol):
    """The factory behind an entry point in the group `paretune.backends`."""

    def input_types(self, options: Mapping[str, Any]) -> Mapping[str, np.dtype[Any]]:
        """Inputs that the artifacts take in another type than the model, as the data must be.

        Args:
            options: the config's `backend` section.

        Raises:
            UserError: an option is unusable.
        """
        ...

    def prepare(
        self,
        model: Path,
        calibration: Sequence[Batch],
        cache: Path,
        options: Mapping[str, Any],
    ) -> Prepared:
        """Do all work that does not depend on a policy, or find it done in `cache`.

        Args:
            model: the `.onnx` file (also with external data beside it).
            calibration: batches without targets.
            cache: a folder; what is in it is found again by content hash.
            options: the config's `backend` section.

        Raises:
            UserError: the model, the data or an option is unusable.
        """
        ...

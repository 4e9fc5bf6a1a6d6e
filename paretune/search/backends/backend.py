"""What every backend is: it prepares a model once, then turns policies into artifacts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from paretune.evaluators import Artifact, Batch
from paretune.spaces import Capabilities, ChannelGroup, Layer, Policy


class Prepared(Protocol):
    """A model, ready for any policy.

    Attributes:
        fingerprint: hash of the model, the calibration data and the options; a study whose
            fingerprint differs is another study.
        layers: in graph order.
        groups: layers whose channels are tied.
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
    def capabilities(self) -> Capabilities: ...
    @property
    def reference(self) -> Artifact: ...

    def apply(self, policy: Policy, path: Path) -> Artifact:
        """Write the artifact of `policy` to `path`. Pure: same policy, same bytes.

        Args:
            policy: canonical for the space built from `layers` and `groups`.
            path: the `.onnx` file to write, whole or not at all.

        Raises:
            Infeasible: a choice cannot be honoured; the message says which and why.
        """
        ...


class Backend(Protocol):
    """The factory behind an entry point in the group `paretune.backends`."""

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

"""A prepared ONNX model: policies in, artifacts out."""

import hashlib
from functools import cached_property
from pathlib import Path

from onnx import ModelProto, helper, numpy_helper

from paretune.errors import Infeasible
from paretune.evaluators import Artifact
from paretune.files import write_whole
from paretune.search.backends.onnx.assembly import assemble
from paretune.search.backends.onnx.compressing import Compressor
from paretune.search.backends.onnx.integer_only import integer_table, refuse_floats
from paretune.search.backends.onnx.parts import Parts
from paretune.search.backends.onnx.possible import require_possible
from paretune.search.backends.onnx.readback import read_policy
from paretune.search.backends.onnx.removal import Removal
from paretune.search.backends.onnx.techniques import capabilities
from paretune.spaces import Capabilities, ChannelGroup, Choice, Layer, Policy, ResidualBlock


class OnnxPrepared:
    """See `Prepared`.

    Attributes:
        fingerprint: of the model, the calibration data and the options.
        capabilities: of ONNX Runtime's CPU provider, as far as the options allow.
    """

    def __init__(self, parts: Parts, fingerprint: str, folder: Path) -> None:
        self.fingerprint = fingerprint
        known = capabilities()
        self.capabilities: Capabilities = integer_table(known) if parts.integer_only else known
        self._parts = parts
        self._folder = folder

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(layer.layer for layer in self._parts.layers.values())

    @cached_property
    def groups(self) -> tuple[ChannelGroup, ...]:
        return tuple(self._parts.channels.groups)

    @cached_property
    def blocks(self) -> tuple[ResidualBlock, ...]:
        return tuple(branch.block for branch in self._parts.blocks)

    @cached_property
    def reference(self) -> Artifact:
        path = self._folder / "reference.onnx"
        return self._write(Policy.of({layer.name: Choice() for layer in self.layers}), path)

    def compress(self, layer: str, choice: Choice) -> float:
        """Compress one layer, and keep the result. See `Prepared.compress`."""
        node = self._parts.layers[layer]
        if choice == Choice():
            return 0.0
        found = Compressor(self._parts, self._nothing).tensors(node, choice)
        error = next(x for x in found if x.name == f"{node.stem}error")
        return float(numpy_helper.to_array(error))

    @cached_property
    def _nothing(self) -> Removal:
        dense = Policy.of({layer.name: Choice() for layer in self.layers})
        return Removal.of(dense, self._parts.channels, self._parts.order)

    def apply(self, policy: Policy, path: Path) -> Artifact:
        """Write the artifact of `policy` to `path`. See `Prepared.apply`."""
        require_possible(self, policy)
        return self._write(policy, path, integer_only=self._parts.integer_only)

    def _write(self, policy: Policy, path: Path, *, integer_only: bool = False) -> Artifact:
        model = assemble(self._parts, policy)
        if integer_only:
            refuse_floats(model)
        found = read_policy(model, self._parts.layers.values(), policy, self._parts.blocks)
        for (layer, got), (_, asked) in zip(found, policy, strict=True):
            if got != asked:
                raise Infeasible(f"{layer}: asked for {asked}, but the artifact holds {got}")
        _sign(model, found, self.fingerprint)
        content = model.SerializeToString(deterministic=True)
        # Whoever lost it can build it again.
        write_whole(path, content, durable=False)
        return Artifact(path, found, hashlib.sha256(content).hexdigest())


def _sign(model: ModelProto, policy: Policy, fingerprint: str) -> None:
    """Write into the file where it came from."""
    helper.set_model_props(
        model,
        {
            **{entry.key: entry.value for entry in model.metadata_props},
            "paretune.policy": policy.to_json(),
            "paretune.source": fingerprint,
        },
    )

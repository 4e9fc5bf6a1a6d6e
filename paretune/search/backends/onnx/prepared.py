"""A prepared ONNX model: policies in, artifacts out."""

import hashlib
from functools import cached_property
from pathlib import Path

from onnx import ModelProto, helper

from paretune.errors import Infeasible
from paretune.evaluators import Artifact
from paretune.files import write_whole
from paretune.search.backends.onnx.assembly import Parts, assemble
from paretune.search.backends.onnx.readback import read_policy
from paretune.spaces import ONNXRUNTIME_CPU, Capabilities, ChannelGroup, Choice, Layer, Policy


class OnnxPrepared:
    """See `Prepared`.

    Attributes:
        fingerprint: of the model, the calibration data and the options.
        capabilities: of ONNX Runtime's CPU provider.
    """

    def __init__(self, parts: Parts, fingerprint: str, folder: Path) -> None:
        self.fingerprint = fingerprint
        self.capabilities: Capabilities = ONNXRUNTIME_CPU
        self._parts = parts
        self._folder = folder

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(layer.layer for layer in self._parts.layers.values())

    @cached_property
    def groups(self) -> tuple[ChannelGroup, ...]:
        return tuple(self._parts.channels.groups)

    @cached_property
    def reference(self) -> Artifact:
        path = self._folder / "reference.onnx"
        return self.apply(Policy.of({layer.name: Choice() for layer in self.layers}), path)

    def apply(self, policy: Policy, path: Path) -> Artifact:
        """Write the artifact of `policy` to `path`. See `Prepared.apply`."""
        model = assemble(self._parts, policy)
        found = read_policy(model, self._parts.layers.values(), policy)
        for (layer, got), (_, asked) in zip(found, policy, strict=True):
            if got != asked:
                raise Infeasible(f"{layer}: asked for {asked}, but the artifact holds {got}")
        _sign(model, found, self.fingerprint)
        content = model.SerializeToString(deterministic=True)
        write_whole(path, content)
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

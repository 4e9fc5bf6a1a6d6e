"""What may be done to a model: layers, choices, policies, ties and device capabilities.

Nothing here imports torch, ONNX Runtime, Optuna or MLflow.
"""

from paretune.spaces.capability import ONNXRUNTIME_CPU, Capabilities, Support
from paretune.spaces.choice import Choice, parse_precision
from paretune.spaces.layer import ChannelGroup, Layer
from paretune.spaces.policy import Policy
from paretune.spaces.precision import Precision
from paretune.spaces.rule import LayerRule
from paretune.spaces.space import Knob, Space, build_space
from paretune.spaces.sparsity import (
    NM,
    Channel,
    Dense,
    Sparsity,
    Unstructured,
    parse_sparsity,
)

__all__ = [
    "NM",
    "ONNXRUNTIME_CPU",
    "Capabilities",
    "Channel",
    "ChannelGroup",
    "Choice",
    "Dense",
    "Knob",
    "Layer",
    "LayerRule",
    "Policy",
    "Precision",
    "Space",
    "Sparsity",
    "Support",
    "Unstructured",
    "build_space",
    "parse_precision",
    "parse_sparsity",
]

"""What may be done to a model: layers, choices, policies, ties and device capabilities.

Nothing here imports torch, ONNX Runtime, Optuna or MLflow.
"""

from paretune.spaces.capability import ONNXRUNTIME_CPU, Capabilities, Support
from paretune.spaces.choice import Choice
from paretune.spaces.layer import ChannelGroup, Layer, ResidualBlock
from paretune.spaces.policy import Policy
from paretune.spaces.precision import TECHNIQUES, Precision, parse_precision
from paretune.spaces.rule import LayerRule
from paretune.spaces.space import Knob, Space, build_space
from paretune.spaces.sparsity import (
    NM,
    Block,
    Channel,
    Dense,
    Drop,
    LowRank,
    Pattern,
    Sparsity,
    Unstructured,
    parse_sparsity,
)

__all__ = [
    "NM",
    "ONNXRUNTIME_CPU",
    "TECHNIQUES",
    "Block",
    "Capabilities",
    "Channel",
    "ChannelGroup",
    "Choice",
    "Dense",
    "Drop",
    "Knob",
    "Layer",
    "LayerRule",
    "LowRank",
    "Pattern",
    "Policy",
    "Precision",
    "ResidualBlock",
    "Space",
    "Sparsity",
    "Support",
    "Unstructured",
    "build_space",
    "parse_precision",
    "parse_sparsity",
]

"""A small residual network (He et al., arXiv:1512.03385) for grey images."""

from collections import OrderedDict

import torch
from torch import Tensor, nn


def resnet8() -> nn.Sequential:
    """Eight layers deep, 16, 32 and 64 channels wide: (n, 1, h, w) to logits of shape (n, 10)."""
    stem = nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
    )
    return nn.Sequential(
        OrderedDict(
            stem=stem,
            block1=_Block(16, 16, stride=1),
            block2=_Block(16, 32, stride=2),
            block3=_Block(32, 64, stride=2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            linear=nn.Linear(64, 10),
        )
    )


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut; a 1x1 convolution where the shape changes.

    Whole channels are dropped in training, so that the network bears their removal later.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Shape (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))

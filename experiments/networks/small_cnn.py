"""A small convolutional network for 8x8 images."""

from collections import OrderedDict

from torch import nn


def small_cnn() -> nn.Sequential:
    """Three convolutions and two linear layers: (n, 1, 8, 8) to logits of shape (n, 10).

    Whole channels are dropped in training, so that the network bears their removal later.
    """

    def convolution(inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Dropout2d(0.2),
        )

    return nn.Sequential(
        OrderedDict(
            block1=convolution(1, 48),
            block2=convolution(48, 96),
            pool2=nn.MaxPool2d(2),
            block3=convolution(96, 96),
            pool3=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            linear1=nn.Linear(96 * 2 * 2, 64),
            relu=nn.ReLU(),
            dropout=nn.Dropout(0.2),
            linear2=nn.Linear(64, 10),
        )
    )

"""The digits network in PyTorch: 8x8 grey images to ten classes, with the blocks of mobile networks in miniature."""

from __future__ import annotations

import torch
from torch import nn


def convolution(channels: int, filters: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution that keeps the size (divided by `stride`), and batch normalization; the bias is the normalization's."""
    return nn.Sequential(nn.Conv2d(channels, filters, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(filters))


class DigitsNet(nn.Module):
    """float32 [N, 1, 8, 8] in [0, 1] -> float32 logits [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolution(1, 16, 3)
        self.residual_depthwise = convolution(16, 16, 3, groups=16)
        self.residual_pointwise = convolution(16, 16, 1)
        self.down_depthwise = convolution(16, 16, 3, stride=2, groups=16)
        self.down_pointwise = convolution(16, 32, 1)
        self.classifier = nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        stem = torch.relu(self.stem(image))
        residual = self.residual_pointwise(torch.relu(self.residual_depthwise(stem)))
        joined = torch.relu(stem + residual)
        features = torch.relu(self.down_pointwise(torch.relu(self.down_depthwise(joined))))
        return self.classifier(features.mean((2, 3)))

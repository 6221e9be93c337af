"""The presence network: is there a person or vehicle that is not part of the background?"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import nn

HEIGHT, WIDTH = 96, 160
GRID_H, GRID_W = 12, 20
"""Of the heat map, stride 8."""


class Conv(nn.Sequential):
    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = Conv(channels, channels)
        self.b = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.b(self.a(x)))


class Presence(nn.Module):
    """uint8 (n, 2, 96, 160), luma and background thumbnail -> probability (n, 1): the heat map's maximum."""

    def __init__(self, channels: tuple[int, int, int, int] = (12, 24, 40, 56)) -> None:
        super().__init__()
        c = channels
        self.stem = nn.Sequential(Conv(4, c[0], 3, 2), Conv(c[0], c[1], 3, 2), Conv(c[1], c[1]))
        self.s8 = nn.Sequential(Conv(c[1], c[2], 3, 2), Residual(c[2]))
        self.s16 = nn.Sequential(Conv(c[2], c[3], 3, 2), Residual(c[3]))
        self.up, self.fuse, self.out = Conv(c[3], c[2], 1), Conv(c[2], c[2]), nn.Conv2d(c[2], 1, 1)
        nn.init.constant_(self.out.bias, -3.0)

    def heat(self, thumbs: torch.Tensor) -> torch.Tensor:
        """uint8 (n, 2, 96, 160) -> logits (n, 1, 12, 20)."""
        x = thumbs.float() * (1 / 255.0)
        current, background = x[:, :1], x[:, 1:]
        mean_c, mean_b = current.mean((2, 3), keepdim=True), background.mean((2, 3), keepdim=True)
        spread = ((background - mean_b) * (background - mean_b)).mean((2, 3), keepdim=True).sqrt()
        contrast = spread + 0.04
        even_c, even_b = (current - mean_c) / contrast, (background - mean_b) / contrast  # whatever the exposure
        x = torch.cat([even_c, even_b, even_c - even_b, (current - background) * 6], 1)
        fine = self.s8(self.stem(x))
        coarse = F.interpolate(self.up(self.s16(fine)), scale_factor=2.0, mode="nearest")
        return self.out(self.fuse(fine + coarse))

    def forward(self, thumbs: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.heat(thumbs).amax((2, 3)))


def loss(heat: torch.Tensor, label: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """heat: logits (b, 1, 12, 20). label (b,): 1, 0, -1 ignore. target (b, 12, 20): as label, or -2: hardly counts."""
    z = heat[:, 0].float()
    weight = (target == 1) * 1.0 + (target == 0) * 0.5 + (target == -2) * 0.03
    p = torch.sigmoid(z)
    cross = F.binary_cross_entropy_with_logits(z, (target == 1).float(), reduction="none")
    focus = torch.where(target == 1, (1 - p) ** 1.0, p**1.5).detach()
    cells = (cross * focus * weight).sum() / ((target == 1).sum() + 20)
    best = z.flatten(1).amax(1)
    counts = (label == 1) * 2.0 + (label == 0) * 1.0
    frames = F.binary_cross_entropy_with_logits(best, (label == 1).float(), reduction="none") * counts
    return cells + frames.sum() / counts.sum().clamp(1)  # a batch of ignored samples must not make NaN

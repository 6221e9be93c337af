"""The detector network: CSP backbone, strides 8 and 16, anchor-free; and its loss."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - everybody's name for it
from torch import nn

from detector_box import CELLS, STRIDES
from presence_net import Conv


class Csp(nn.Module):
    """Split, n residual pairs of 3x3 on one half, concatenate all, fuse."""

    def __init__(self, inputs: int, outputs: int, pairs: int = 1) -> None:
        super().__init__()
        self.half = outputs // 2
        self.a, self.b = Conv(inputs, 2 * self.half, 1), Conv((2 + pairs) * self.half, outputs, 1)
        self.m = nn.ModuleList(
            nn.Sequential(Conv(self.half, self.half), Conv(self.half, self.half)) for _ in range(pairs)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = list(self.a(x).split(self.half, 1))
        for pair in self.m:
            parts.append(parts[-1] + pair(parts[-1]))
        return self.b(torch.cat(parts, 1))


class Pool(nn.Module):
    """Context: three 5x5 maxima one after another, all kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = Conv(channels, channels // 2, 1), Conv(2 * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = [self.a(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.b(torch.cat(parts, 1))


class Detector(nn.Module):
    """float (n, 3, 256, 416) RGB 0..1 -> (n, 6, 2080): cx, cy, w, h in input pixels, scores person, vehicle."""

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 96, 128), head: int = 64) -> None:
        super().__init__()
        c = channels
        self.p3 = nn.Sequential(
            Conv(3, c[0], 3, 2), Conv(c[0], c[1], 3, 2), Csp(c[1], c[1]), Conv(c[1], c[2], 3, 2), Csp(c[2], c[2])
        )
        self.p4 = nn.Sequential(Conv(c[2], c[3], 3, 2), Csp(c[3], c[3], 2))
        self.p5 = nn.Sequential(Conv(c[3], c[4], 3, 2), Csp(c[4], c[4]), Pool(c[4]))
        self.l5, self.f4 = Conv(c[4], c[3], 1), Csp(2 * c[3], c[3])
        self.l4, self.f3 = Conv(c[3], c[2], 1), Csp(2 * c[2], c[2])
        self.head = nn.ModuleList([Conv(c[2], head), Conv(c[3], head)])
        self.box = nn.ModuleList([nn.Conv2d(head, 4, 1) for _ in STRIDES])
        self.cls = nn.ModuleList([nn.Conv2d(head, 2, 1) for _ in STRIDES])
        for layer in self.cls:
            nn.init.constant_(layer.bias, -4.0)
        for layer in self.box:
            nn.init.constant_(layer.bias, 0.5)
        centre, stride = _cells()
        self.register_buffer("grid", centre, persistent=False)
        self.register_buffer("stride", stride, persistent=False)

    def raw(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """-> boxes xyxy (n, 4, cells) in pixels, class logits (n, 2, cells)."""
        fine = self.p3(x)
        middle = self.p4(fine)
        coarse = self.p5(middle)
        middle = self.f4(torch.cat([F.interpolate(self.l5(coarse), scale_factor=2.0, mode="nearest"), middle], 1))
        fine = self.f3(torch.cat([F.interpolate(self.l4(middle), scale_factor=2.0, mode="nearest"), fine], 1))
        heads = [head(x) for head, x in zip(self.head, (fine, middle), strict=True)]
        distance = torch.cat([m(h).flatten(2) for m, h in zip(self.box, heads, strict=True)], 2)
        distance = distance.float().clamp(-6, 5).exp() * self.stride
        logits = torch.cat([m(h).flatten(2) for m, h in zip(self.cls, heads, strict=True)], 2).float()
        return torch.cat([self.grid - distance[:, :2], self.grid + distance[:, 2:]], 1), logits

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        box, logits = self.raw(x)
        return torch.cat([(box[:, :2] + box[:, 2:]) * 0.5, box[:, 2:] - box[:, :2], torch.sigmoid(logits)], 1)


def _cells() -> tuple[torch.Tensor, torch.Tensor]:
    """Centres (1, 2, cells) in pixels and strides (1, 1, cells), stride 8 first."""
    centres = [
        np.stack(np.meshgrid(np.arange(w) + 0.5, np.arange(h) + 0.5), 0).reshape(2, -1) * k
        for (h, w), k in zip(CELLS, STRIDES, strict=True)
    ]
    strides = [np.full(h * w, k) for (h, w), k in zip(CELLS, STRIDES, strict=True)]
    return (
        torch.tensor(np.concatenate(centres, 1), dtype=torch.float32)[None],
        torch.tensor(np.concatenate(strides), dtype=torch.float32)[None, None],
    )


def giou(found: torch.Tensor, truth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(m, 4) xyxy each -> IoU (m,), GIoU (m,) (Rezatofighi et al., 2019)."""
    low, high = torch.maximum(found[:, :2], truth[:, :2]), torch.minimum(found[:, 2:], truth[:, 2:])
    common = (high - low).clamp(0).prod(1)
    area = (found[:, 2:] - found[:, :2]).clamp(0).prod(1) + (truth[:, 2:] - truth[:, :2]).prod(1)
    union = area - common + 1e-6
    outer = torch.maximum(found[:, 2:], truth[:, 2:]) - torch.minimum(found[:, :2], truth[:, :2])
    hull = outer.prod(1) + 1e-6
    return common / union, common / union - (hull - union) / hull


def loss(box: torch.Tensor, logits: torch.Tensor, box_target: torch.Tensor, class_target: torch.Tensor) -> torch.Tensor:
    """In the manner of VarifocalNet (target 0.4 + 0.6 IoU), plus GIoU.

    box (b, 4, cells), logits (b, 2, cells); targets of the same shapes, class_target 1, 0, -1 ignore.
    """
    positive = (class_target == 1).any(1)
    count = positive.sum().clamp(1)
    found, truth = box.transpose(1, 2)[positive], box_target.transpose(1, 2)[positive]
    overlap, generalised = giou(found, truth)
    quality = torch.zeros_like(logits)
    classes = class_target.transpose(1, 2)[positive].clamp(0)
    quality.transpose(1, 2)[positive] = classes * (0.4 + 0.6 * overlap.detach().clamp(0))[:, None]
    p = torch.sigmoid(logits).detach()
    weight = torch.where(class_target == 1, torch.full_like(logits, 1.5), 0.75 * p**2) * (class_target >= 0)
    cross = F.binary_cross_entropy_with_logits(logits, quality, reduction="none") * weight
    return cross.sum() / count + 1.5 * (1 - generalised).sum() / count

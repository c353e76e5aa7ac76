"""Differentiable augmentation, so that a discriminator cannot learn a small data set by heart.

DiffAugment (Zhao et al. 2020, arXiv:2006.10738): the same random changes are applied to real and fake pictures wherever D
looks at them, in D's step and in G's, and gradients flow through them into G. What G learns stays unaugmented, because
a fake is only ever judged through the same distorting glass as the real pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor

from facegen.files import InputError


def _uniform(x: Tensor, low: float, high: float) -> Tensor:
    return torch.rand(len(x), 1, 1, 1, device=x.device, dtype=x.dtype) * (high - low) + low


def colour(x: Tensor) -> Tensor:
    """Random brightness (+-0.5), saturation (x0 to x2) and contrast (x0.5 to x1.5), one draw per picture."""
    x = x + _uniform(x, -0.5, 0.5)
    grey = x.mean(dim=1, keepdim=True)
    x = (x - grey) * _uniform(x, 0.0, 2.0) + grey
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) * _uniform(x, 0.5, 1.5) + mean


def translation(x: Tensor, ratio: float = 0.125) -> Tensor:
    """Shift each picture by up to `ratio` of its size, whole pixels, both ways; what comes in from outside is 0 (grey)."""
    n, _, height, width = x.shape
    reach_y, reach_x = int(height * ratio + 0.5), int(width * ratio + 0.5)
    shift_y = torch.randint(-reach_y, reach_y + 1, (n, 1), device=x.device)
    shift_x = torch.randint(-reach_x, reach_x + 1, (n, 1), device=x.device)
    rows = torch.arange(height, device=x.device) + shift_y  # [N, H]: which source row each row shows
    cols = torch.arange(width, device=x.device) + shift_x  # [N, W]
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((cols >= 0) & (cols < width))[:, None, None, :]
    picture = torch.arange(n, device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[picture, rows.clamp(0, height - 1)[:, :, None], cols.clamp(0, width - 1)[:, None, :]]
    return moved.permute(0, 3, 1, 2) * inside


def cutout(x: Tensor, ratio: float = 0.5) -> Tensor:
    """Grey out one rectangle of `ratio` of the sides per picture; its centre may lie anywhere."""
    n, _, height, width = x.shape
    half_y, half_x = int(height * ratio / 2 + 0.5), int(width * ratio / 2 + 0.5)
    centre_y = torch.randint(0, height, (n, 1), device=x.device)
    centre_x = torch.randint(0, width, (n, 1), device=x.device)
    rows = (torch.arange(height, device=x.device) - centre_y).abs() < half_y  # [N, H]
    cols = (torch.arange(width, device=x.device) - centre_x).abs() < half_x
    return x * ~(rows[:, None, :, None] & cols[:, None, None, :])


POLICIES = {"color": colour, "translation": translation, "cutout": cutout}


def parse_policy(policy: str) -> tuple[str, ...]:
    """ "color,translation" -> ("color", "translation"); "" and "none" -> ()."""
    names = tuple(name.strip() for name in policy.split(",") if name.strip() not in ("", "none"))
    for name in names:
        if name not in POLICIES:
            raise InputError(f"--augment={name} is not known: choose from {', '.join(POLICIES)}, joined by commas, or none")
    return names


def diff_augment(x: Tensor, policy: tuple[str, ...]) -> Tensor:
    """Apply the named augmentations in order. x: pictures [N, C, H, W] around [-1, 1]; the random draws are torch's own."""
    for name in policy:
        x = POLICIES[name](x)
    return x

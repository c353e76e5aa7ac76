"""Features to measure distances between, for the exercises about evaluation."""

from __future__ import annotations

import torch
from torch import Tensor


def cloud(n: int, d: int, g: torch.Generator) -> Tensor:
    """Features float64 [n, d] whose columns hang together, with a mean of their own."""
    mix = torch.randn(d, d, generator=g, dtype=torch.float64) / d**0.5 + 0.5 * torch.eye(d, dtype=torch.float64)
    return torch.randn(n, d, generator=g, dtype=torch.float64) @ mix + 0.7 * torch.randn(d, generator=g, dtype=torch.float64)

"""cycle_loss(real, reconstructed): right solutions that are written in other ways, and more wrong ones."""

import torch
import torch.nn.functional as F
from torch import nn

from exercises.differences import right


def in_place(real, reconstructed):
    real -= reconstructed.detach()
    return real.abs().mean() + 0 * reconstructed.sum()


RIGHT = [
    ("l1_loss", lambda real, reconstructed: F.l1_loss(reconstructed, real)),
    ("L1Loss", lambda real, reconstructed: nn.L1Loss()(real, reconstructed)),
    ("norm of order 1", lambda real, reconstructed: torch.linalg.vector_norm(reconstructed - real, ord=1) / real.numel()),
    ("the larger minus the smaller", lambda x, y: (torch.maximum(x, y) - torch.minimum(x, y)).mean()),
    ("mean of means", lambda x, y: torch.stack([(a - b).abs().mean() for a, b in zip(x, y)]).mean()),
]
WRONG = [
    ("no_grad", torch.no_grad()(right), "this gradient"),
    ("in place", in_place, "changed real in place"),
    ("no reduction", lambda x, y: (x - y).abs(), "expected one number"),
    ("reconstructed in place", lambda x, y: y.detach().sub_(x).abs().mean() + 0 * y.sum(), "changed reconstructed in place"),
    ("times 255", lambda x, y: 127.5 * right(x, y), "expected the mean of the absolute differences"),
    ("mean over channels", lambda x, y: (x - y).abs().mean(1), "expected one number"),
    ("mean of colours first", lambda x, y: (x.mean(1) - y.mean(1)).abs().mean(), "expected the mean of the absolute"),
    ("clamped", lambda x, y: (x - y).clamp(min=0).mean(), "expected the mean of the absolute differences"),
    ("relative", lambda x, y: ((x - y).abs() / x.abs()).mean(), "expected the mean of the absolute differences"),
    ("a list", lambda x, y: [right(x, y)], "expected one number"),
]

"""lsgan_loss(logits, real): right solutions that are written in other ways, and more wrong ones."""

import torch
import torch.nn.functional as F
from torch import nn

from exercises.cyclegan.lsgan_loss import solution, square


def target(logits, real):
    return torch.ones_like(logits) if real else torch.zeros_like(logits)


def in_place(logits, real):
    with torch.no_grad():
        logits -= float(real)
    return logits.square().mean()


def by_hand(logits, real):
    """Logit by logit, in Python."""
    numbers = [(logit - 1) ** 2 if real else logit**2 for logit in logits.flatten()]
    return sum(numbers) / len(numbers)


def real_forgotten(logits, real):
    if real:
        return (logits - 1).square().mean()


RIGHT = [
    ("square", lambda logits, real: ((logits - 1) ** 2).mean() if real else (logits**2).mean()),
    ("MSELoss", lambda logits, real: nn.MSELoss()(logits, torch.tensor(float(real)).expand_as(logits))),
    ("mse_loss", lambda logits, real: F.mse_loss(logits, target(logits, real))),
    ("sum over count", lambda logits, real: torch.sum(torch.pow(logits - int(real), 2)) / logits.numel()),
    ("one number as target", lambda logits, real: F.mse_loss(logits, torch.tensor(1.0 if real else 0.0))),
    ("by hand", by_hand),
    ("variance and mean", lambda logits, real: logits.var(unbiased=False) + (logits.mean() - float(real)) ** 2),
]
WRONG = [
    ("in place", in_place, "changed the logits in place"),
    ("only if real", real_forgotten, "return statement missing"),
    ("no reduction", lambda logits, real: F.mse_loss(logits, target(logits, real), reduction="none"), "expected one number"),
    ("a number as target", lambda logits, real: F.mse_loss(logits, 1.0 if real else 0.0), "torch.ones_like"),
    ("if logits", lambda logits, real: square(logits, 1.0 if logits > 0 else 0.0), "decides about real"),
    ("times 2", solution(lambda x, t: 2 * square(x, t)), "expected the mean of"),
    ("detached half", solution(lambda x, t: ((x.detach() - t) * (x - t)).mean()), "this gradient"),
    ("no_grad", torch.no_grad()(solution()), "this gradient"),
]

"""lsgan_loss(logits, real): wrong and right solutions."""

import torch
import torch.nn.functional as F
from torch import nn


def target(logits, real):
    return torch.ones_like(logits) if real else torch.zeros_like(logits)


def swapped(logits, real):
    return F.mse_loss(logits, target(logits, not real))


def always_one(logits, real):
    return (logits - 1).square().mean()


def halved(logits, real):
    return 0.5 * F.mse_loss(logits, target(logits, real))


def summed(logits, real):
    return F.mse_loss(logits, target(logits, real), reduction="sum")


def one_each(logits, real):
    return F.mse_loss(logits, target(logits, real), reduction="none")


def per_picture(logits, real):
    return (logits - target(logits, real)).square().flatten(1).mean(1)


def sum_of_a_map(logits, real):
    return (
        (logits - target(logits, real)).square().flatten(1).sum(1).mean() if logits.dim() > 1 else one_each(logits, real).mean()
    )


def absolute(logits, real):
    return F.l1_loss(logits, target(logits, real))


def root(logits, real):
    return F.mse_loss(logits, target(logits, real)).sqrt()


def mean_first(logits, real):
    return (logits.mean() - float(real)) ** 2


def with_sigmoid(logits, real):
    return F.mse_loss(torch.sigmoid(logits), target(logits, real))


def cross_entropy(logits, real):
    return F.binary_cross_entropy_with_logits(logits, target(logits, real))


def minus_one(logits, real):
    return (logits - (1 if real else -1)).square().mean()


def smoothed(logits, real):
    return (logits - (0.9 if real else 0.0)).square().mean()


def wasserstein(logits, real):
    return -logits.mean() if real else logits.mean()


def negative(logits, real):
    return -F.mse_loss(logits, target(logits, real))


def as_number(logits, real):
    return F.mse_loss(logits, target(logits, real)).item()


def cut(logits, real):
    return F.mse_loss(logits.detach(), target(logits, real))


def in_place(logits, real):
    with torch.no_grad():
        logits -= float(real)
    return logits.square().mean()


def nothing(logits, real):
    F.mse_loss(logits, target(logits, real))


WRONG = [
    ("swapped", swapped, "swapped"),
    ("halved", halved, "half of it"),
    ("sum", summed, "this is the sum, expected the mean"),
    ("cross-entropy", cross_entropy, "this is cross-entropy"),
    ("always 1", always_one, "swapped"),
    ("no reduction", one_each, "expected one number"),
    ("per picture", per_picture, "expected one number"),
    ("sum of a map", sum_of_a_map, "the sum over a map"),
    ("absolute value", absolute, "the absolute value, expected the square"),
    ("root", root, "the root of the mean square"),
    ("mean first", mean_first, "the mean goes first"),
    ("sigmoid", with_sigmoid, "went through a sigmoid"),
    ("fakes -1", minus_one, "the target of fakes is -1"),
    ("smoothed", smoothed, "smoothed, expected 1"),
    ("Wasserstein", wasserstein, "Wasserstein"),
    ("sign", negative, "sign is wrong"),
    ("item", as_number, ".item() cuts the gradient off"),
    ("detach", cut, "no gradient flows back"),
    ("in place", in_place, "changed the logits in place"),
    ("no return", nothing, "return statement missing"),
]


def by_square(logits, real):
    return ((logits - 1) ** 2).mean() if real else (logits**2).mean()


def by_module(logits, real):
    return nn.MSELoss()(logits, torch.tensor(float(real)).expand_as(logits))


def by_mse(logits, real):
    return F.mse_loss(logits, target(logits, real))


def by_sum(logits, real):
    return torch.sum(torch.pow(logits - int(real), 2)) / logits.numel()


RIGHT = [("square", by_square), ("MSELoss", by_module), ("mse_loss", by_mse), ("sum over count", by_sum)]

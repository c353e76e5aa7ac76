"""cycle_loss(real, reconstructed): wrong and right solutions."""

import torch
import torch.nn.functional as F
from torch import nn


def squares(real, reconstructed):
    return F.mse_loss(reconstructed, real)


def no_absolute(real, reconstructed):
    return torch.mean(reconstructed - real)


def no_absolute_either(real, reconstructed):
    return torch.mean(real - reconstructed)


def absolute_last(real, reconstructed):
    return torch.abs(torch.mean(real - reconstructed))


def summed(real, reconstructed):
    return F.l1_loss(reconstructed, real, reduction="sum")


def sum_per_picture(real, reconstructed):
    return (real - reconstructed).abs().sum((1, 2, 3)).mean()


def per_picture(real, reconstructed):
    return (real - reconstructed).abs().mean((1, 2, 3))


def one_each(real, reconstructed):
    return (real - reconstructed).abs()


def euclidean(real, reconstructed):
    return (real - reconstructed).flatten(1).norm(dim=1).mean()


def root(real, reconstructed):
    return F.mse_loss(reconstructed, real).sqrt()


def smooth(real, reconstructed):
    return F.smooth_l1_loss(reconstructed, real)


def weighted(real, reconstructed):
    return 10 * F.l1_loss(reconstructed, real)


def negative(real, reconstructed):
    return -F.l1_loss(reconstructed, real)


def mean_picture(real, reconstructed):
    return (real.mean(0) - reconstructed.mean(0)).abs().mean()


def as_number(real, reconstructed):
    return F.l1_loss(reconstructed, real).item()


def cut(real, reconstructed):
    return F.l1_loss(reconstructed.detach(), real)


def no_graph(real, reconstructed):
    with torch.no_grad():
        return F.l1_loss(reconstructed, real)


def in_place(real, reconstructed):
    real -= reconstructed.detach()
    return real.abs().mean() + 0 * reconstructed.sum()


def first_only(real, reconstructed):
    return F.l1_loss(reconstructed[0], real[0])


def never_zero(real, reconstructed):
    return ((reconstructed - real) ** 2 + 1e-6).sqrt().mean()


def nothing(real, reconstructed):
    F.l1_loss(reconstructed, real)


WRONG = [
    ("squares", squares, "these are squares"),
    ("no absolute value", no_absolute, "the absolute value is missing"),
    ("sum", summed, "this is the sum, expected the mean"),
    ("absolute value last", absolute_last, "or comes after the mean"),
    ("no absolute value, other sign", no_absolute_either, "the absolute value is missing"),
    ("sum per picture", sum_per_picture, "the sum over a picture"),
    ("per picture", per_picture, "expected one number"),
    ("no reduction", one_each, "expected one number"),
    ("Euclidean", euclidean, "by norm()"),
    ("root", root, "the root of the mean square"),
    ("smooth", smooth, "smooth_l1_loss"),
    ("weighted", weighted, "the weight 10 is inside"),
    ("sign", negative, "sign is wrong"),
    ("mean picture", mean_picture, "the batch's mean picture"),
    ("item", as_number, ".item() cuts the gradient off"),
    ("detach", cut, "no gradient flows back"),
    ("no_grad", no_graph, "no gradient flows back"),
    ("in place", in_place, "changed its pictures in place"),
    ("first picture only", first_only, "expected the mean absolute difference"),
    ("never 0", never_zero, "came back unchanged"),
    ("no return", nothing, "return statement missing"),
]


def by_l1(real, reconstructed):
    return F.l1_loss(reconstructed, real)


def by_module(real, reconstructed):
    return nn.L1Loss()(real, reconstructed)


def by_abs(real, reconstructed):
    return torch.abs(real - reconstructed).mean()


def by_norm(real, reconstructed):
    return torch.linalg.vector_norm(reconstructed - real, ord=1) / real.numel()


RIGHT = [("l1_loss", by_l1), ("L1Loss", by_module), ("abs", by_abs), ("norm of order 1", by_norm)]

"""real_loss(logits, smooth=False): wrong and right solutions."""

import torch
import torch.nn.functional as F
from torch import nn


def bce(logits, target, reduction="mean"):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target), reduction=reduction)


def swapped(logits, smooth=False):
    return bce(logits, 0.1 if smooth else 0.0)


def always_smooth(logits, smooth=False):
    return bce(logits, 0.9)


def never_smooth(logits, smooth=False):
    return bce(logits, 1.0)


def smooth_to_a_tenth(logits, smooth=False):
    return bce(logits, 0.1 if smooth else 1.0)


def loss_smoothed(logits, smooth=False):
    return bce(logits, 1.0) * (0.9 if smooth else 1)


def summed(logits, smooth=False):
    return bce(logits, 0.9 if smooth else 1.0, reduction="sum")


def one_each(logits, smooth=False):
    return bce(logits, 0.9 if smooth else 1.0, reduction="none")


def sigmoid_twice(logits, smooth=False):
    return bce(logits.sigmoid(), 0.9 if smooth else 1.0)


def logarithm_of_sigmoid(logits, smooth=False):
    target = 0.9 if smooth else 1.0
    p = torch.sigmoid(logits)
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p)).mean()


def logarithm_with_epsilon(logits, smooth=False):
    target = 0.9 if smooth else 1.0
    p = torch.sigmoid(logits)
    return -(target * torch.log(p + 1e-8) + (1 - target) * torch.log(1 - p + 1e-8)).mean()


def sigmoid_then_bce(logits, smooth=False):
    p = torch.sigmoid(logits)
    return F.binary_cross_entropy(p, torch.full_like(p, 0.9 if smooth else 1.0))


def logits_as_probabilities(logits, smooth=False):
    return F.binary_cross_entropy(logits, torch.full_like(logits, 0.9 if smooth else 1.0))


def a_number(logits, smooth=False):
    return bce(logits, 0.9 if smooth else 1.0).item()


def detached(logits, smooth=False):
    return bce(logits.detach(), 0.9 if smooth else 1.0)


def flat_targets(logits, smooth=False):
    return F.binary_cross_entropy_with_logits(logits, torch.ones(len(logits)) * (0.9 if smooth else 1))


def negative(logits, smooth=False):
    return -bce(logits, 0.9 if smooth else 1.0)


def least_squares(logits, smooth=False):
    return F.mse_loss(logits, torch.full_like(logits, 0.9 if smooth else 1.0))


def without_smooth(logits):
    return bce(logits, 1.0)


def whole_target(logits, smooth=False):
    return F.binary_cross_entropy_with_logits(logits, torch.full(logits.shape, 1))


def plain_target(logits, smooth=False):
    return F.binary_cross_entropy_with_logits(logits, 1)


def arguments_swapped(logits, smooth=False):
    return F.binary_cross_entropy_with_logits(torch.full_like(logits, 0.9 if smooth else 1.0), logits)


WRONG = [
    ("swapped", swapped, "swapped"),
    ("always smooth", always_smooth, "smoothed although"),
    ("never smooth", never_smooth, "smooth has no effect"),
    ("smooth to 0.1", smooth_to_a_tenth, "target is 0.1"),
    ("loss times 0.9", loss_smoothed, "multiplied by 0.9"),
    ("sum", summed, "the sum"),
    ("no reduction", one_each, "expected one number"),
    ("sigmoid twice", sigmoid_twice, "sigmoid twice"),
    ("log of sigmoid", logarithm_of_sigmoid, "logarithm of a sigmoid"),
    ("log with epsilon", logarithm_with_epsilon, "logarithm of a sigmoid"),
    ("sigmoid, then BCELoss", sigmoid_then_bce, "logarithm of a sigmoid"),
    ("BCELoss on logits", logits_as_probabilities, "with_logits"),
    ("item", a_number, ".item()"),
    ("detach", detached, "no gradient"),
    ("targets of another shape", flat_targets, "ones_like"),
    ("sign", negative, "sign is wrong"),
    ("least squares", least_squares, "least squares"),
    ("no smooth argument", without_smooth, "signature"),
    ("whole numbers as target", whole_target, "write 1.0, or torch.ones_like(logits)"),
    ("a plain number as target", plain_target, "the target has to be a tensor"),
    ("target first", arguments_swapped, "logits come first, then the target"),
]


def by_softplus(logits, smooth=False):
    target = 0.9 if smooth else 1.0
    return F.softplus(logits.flatten()).mean() - target * logits.mean()


def udacity(logits, smooth=False):
    labels = torch.ones(logits.shape[0], device=logits.device)
    return nn.BCEWithLogitsLoss()(logits.reshape(-1), labels * 0.9 if smooth else labels)


def by_logsigmoid(logits, smooth=False):
    target = 0.9 if smooth else 1.0
    return -(target * F.logsigmoid(logits) + (1 - target) * F.logsigmoid(-logits)).mean()


RIGHT = [("softplus", by_softplus), ("BCEWithLogitsLoss on flat logits", udacity), ("logsigmoid", by_logsigmoid)]

"""fake_loss(logits): wrong and right solutions."""

import torch
import torch.nn.functional as F
from torch import nn


def bce(logits, target, reduction="mean"):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target), reduction=reduction)


def swapped(logits):
    return bce(logits, 1.0)


def smoothed(logits):
    return bce(logits, 0.1)


def summed(logits):
    return bce(logits, 0.0, reduction="sum")


def one_each(logits):
    return bce(logits, 0.0, reduction="none")


def sigmoid_twice(logits):
    return bce(torch.sigmoid(logits), 0.0)


def logarithm_of_sigmoid(logits):
    return -torch.log(1 - torch.sigmoid(logits)).mean()


def sigmoid_then_bce(logits):
    return nn.BCELoss()(torch.sigmoid(logits), torch.zeros_like(logits))


def logits_as_probabilities(logits):
    return nn.BCELoss()(logits, torch.zeros_like(logits))


def negative(logits):
    return torch.log(1 - torch.sigmoid(logits)).mean()


def squared_probability(logits):
    return torch.sigmoid(logits).square().mean()


def wasserstein(logits):
    return logits.mean()


def hinge(logits):
    return F.relu(1 + logits).mean()


def no_graph(logits):
    with torch.no_grad():
        return bce(logits, 0.0)


def unwritten(logits):
    raise NotImplementedError


def of_one_minus_logits(logits):
    return bce(1 - logits, 1.0)


def plain_target(logits):
    return F.binary_cross_entropy_with_logits(logits, 0)


def arguments_swapped(logits):
    return F.binary_cross_entropy_with_logits(torch.zeros_like(logits), logits)


WRONG = [
    ("swapped", swapped, "swapped"),
    ("smoothed", smoothed, "only real labels are smoothed"),
    ("sum", summed, "the sum"),
    ("no reduction", one_each, "expected one number"),
    ("sigmoid twice", sigmoid_twice, "sigmoid twice"),
    ("log of sigmoid", logarithm_of_sigmoid, "logarithm of a sigmoid"),
    ("sigmoid, then BCELoss", sigmoid_then_bce, "logarithm of a sigmoid"),
    ("BCELoss on logits", logits_as_probabilities, "with_logits"),
    ("sign", negative, "sign is wrong"),
    ("squared probability", squared_probability, "expected cross-entropy"),
    ("Wasserstein", wasserstein, "Wasserstein"),
    ("hinge", hinge, "hinge"),
    ("no_grad", no_graph, "no gradient"),
    ("not written", unwritten, "not written yet"),
    ("real_loss(1 - logits)", of_one_minus_logits, "real_loss(1 - logits)"),
    ("a plain number as target", plain_target, "zeros_like"),
    ("target first", arguments_swapped, "logits come first, then the target"),
]


def by_softplus(logits):
    return F.softplus(logits).mean()


def udacity(logits):
    return nn.BCEWithLogitsLoss()(logits.reshape(-1), torch.zeros(logits.shape[0], device=logits.device))


def by_symmetry(logits):
    return bce(-logits, 1.0)


RIGHT = [("softplus", by_softplus), ("BCEWithLogitsLoss on flat logits", udacity), ("by symmetry", by_symmetry)]

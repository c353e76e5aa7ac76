"""real_loss(logits, smooth=False): more wrong solutions, and right ones that are written in other ways."""

import torch
import torch.nn.functional as F
from torch import nn

from exercises.cross_entropy import bce
from exercises.dcgan.real_loss import solution


def of_probabilities(p, target):
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p)).mean()


def with_epsilon(x, target):
    p = x.sigmoid()
    return -(target * torch.log(p + 1e-8) + (1 - target) * torch.log(1 - p + 1e-8)).mean()


def flat_targets(logits, smooth=False):
    return F.binary_cross_entropy_with_logits(logits, torch.ones(len(logits)) * (0.9 if smooth else 1))


def whole_target(logits, smooth=False):
    return F.binary_cross_entropy_with_logits(logits, torch.full(logits.shape, 1))


def udacity(logits, smooth=False):
    labels = torch.ones(logits.shape[0], device=logits.device)
    return nn.BCEWithLogitsLoss()(logits.reshape(-1), labels * 0.9 if smooth else labels)


def less_a_tenth(logits, smooth=False):
    return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits) - 0.1 * smooth)


def noisy_labels(logits, smooth=False):
    labels = 0.8 + 0.2 * torch.rand_like(logits) if smooth else torch.ones_like(logits)
    return F.binary_cross_entropy_with_logits(logits, labels)


RIGHT = [
    ("softplus", solution(lambda x, t: F.softplus(x.flatten()).mean() - t * x.mean())),
    ("BCEWithLogitsLoss on flat logits", udacity),
    ("logsigmoid", solution(lambda x, t: -(t * F.logsigmoid(x) + (1 - t) * F.logsigmoid(-x)).mean())),
    ("1 - 0.1 * smooth", less_a_tenth),
    ("the sum over their number", solution(lambda x, t: bce(x, t, "sum") / x.numel())),
    ("of two losses", solution(bce, lambda x, t: 0.9 * bce(x, 1) + 0.1 * bce(x, 0))),
    ("by logsumexp", solution(lambda x, t: (torch.stack([torch.zeros_like(x), x]).logsumexp(0) - t * x).mean())),
]
WRONG = [
    ("log of sigmoid", solution(lambda x, t: of_probabilities(x.sigmoid(), t)), "logarithm of a sigmoid"),
    ("log with epsilon", solution(with_epsilon), "logarithm of a sigmoid"),
    (
        "sigmoid, then BCELoss",
        solution(lambda x, t: nn.BCELoss()(x.sigmoid(), torch.full_like(x, t))),
        "logarithm of a sigmoid",
    ),
    ("log of the logits", solution(lambda x, t: -x.log().mean()), "binary_cross_entropy_with_logits"),
    ("targets [N] with smooth", flat_targets, "targets need the logits' shape"),
    ("whole numbers as target", whole_target, "write 1.0, or torch.ones_like(logits)"),
    (
        "a plain number as target",
        solution(lambda x, t: F.binary_cross_entropy_with_logits(x, 1)),
        "the target has to be a tensor",
    ),
    ("no smooth argument", lambda logits: bce(logits, 1), "signature"),
    ("smooth named otherwise", lambda logits, smoothing=False: bce(logits, 0.9 if smoothing else 1), "signature"),
    ("no return", lambda logits, smooth=False: None, "return statement"),
    ("labels drawn at random", noisy_labels, "against 1, or 0.9 if smooth"),
    ("a new tensor", solution(lambda x, t: torch.tensor(bce(x, t).tolist())), "cut off by a detach"),
    ("logits rounded", solution(lambda x, t: bce(x.round(), t)), "against 1, or 0.9 if smooth"),
    ("one logit only", solution(lambda x, t: bce(x[0], t)), "against 1, or 0.9 if smooth"),
    ("logits cut at 100", solution(lambda x, t: bce(x.clamp(-100, 100), t)), "at large logits"),
]

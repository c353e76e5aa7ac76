"""fake_loss(logits): more wrong solutions, and right ones that are written in other ways."""

import torch
import torch.nn.functional as F
from torch import nn

from exercises.cross_entropy import bce


def udacity(logits):
    return nn.BCEWithLogitsLoss()(logits.reshape(-1), torch.zeros(logits.shape[0], device=logits.device))


RIGHT = [
    ("softplus", lambda logits: F.softplus(logits).mean()),
    ("BCEWithLogitsLoss on flat logits", udacity),
    ("real_loss(-logits)", lambda logits: bce(-logits, 1)),
    ("logsigmoid", lambda logits: -F.logsigmoid(-logits).mean()),
    ("zeros times logits", lambda logits: F.binary_cross_entropy_with_logits(logits, 0 * logits.detach())),
]
WRONG = [
    ("sigmoid, then BCELoss", lambda x: nn.BCELoss()(x.sigmoid(), torch.zeros_like(x)), "logarithm of a sigmoid"),
    ("1 - sigmoid, then BCELoss", lambda x: nn.BCELoss()(1 - x.sigmoid(), torch.ones_like(x)), "logarithm of a sigmoid"),
    ("BCELoss on logits", lambda x: nn.BCELoss()(x, torch.zeros_like(x)), "with_logits"),
    ("the sign, with a logarithm", lambda x: torch.log(1 - x.sigmoid()).mean(), "sign is wrong"),
    ("whole numbers as target", lambda x: F.binary_cross_entropy_with_logits(x, torch.full(x.shape, 0)), "write 0.0"),
    ("one target for all", lambda x: F.binary_cross_entropy_with_logits(x, torch.zeros(1)), "targets need the logits' shape"),
    ("smooth as in real_loss", lambda logits, smooth: bce(logits, 0.1 if smooth else 0), "signature"),
    ("no return", lambda logits: None, "return statement"),
    ("logarithm of the probability", lambda x: -x.sigmoid().log().mean(), "swapped"),
    ("in place", lambda x: -(1 - x.sigmoid_()).log().mean(), "changed logits in place"),
    ("least squares to -1", lambda x: (x + 1).square().mean(), "expected the mean of binary_cross_entropy"),
]

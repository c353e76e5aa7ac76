"""identity_loss(G, real_target): right solutions that are written in other ways, and more wrong ones."""

import torch
import torch.nn.functional as F
from torch import nn

from exercises.cyclegan.identity_loss import solution
from exercises.differences import right


def in_place(G, real_target):
    same = G(real_target.clone())
    real_target -= same.detach()
    return real_target.abs().mean() + 0 * same.sum()


def retained(G, real_target):
    loss = right(real_target, G(real_target))
    loss.backward(retain_graph=True)
    return loss


def no_graph(G, real_target):
    with torch.no_grad():
        return right(real_target, G(real_target))


def zeroed(G, real_target):
    """Switches G back after an evaluation, but its weights stay without gradient."""
    for p in G.parameters():
        p.requires_grad = False
    return right(real_target, G(real_target))


RIGHT = [
    ("l1_loss", lambda G, y: F.l1_loss(G(y), y)),
    ("L1Loss", lambda G, y: nn.L1Loss()(y, G(y))),
    ("one by one", lambda G, y: torch.stack([(G(one[None]) - one[None]).abs().mean() for one in y]).mean()),
    ("of a copy, by forward", lambda G, y: right(y, G.forward(y.clone()))),
]
WRONG = [
    ("in place", in_place, "changed the pictures"),
    ("backward inside", retained, "leaves gradients in G"),
    ("no_grad", no_graph, "this gradient"),
    ("without gradients", zeroed, "frozen"),
    ("zeros", lambda G, y: right(torch.zeros_like(y), G(y)), "the size of G(y) itself"),
    ("the negative", lambda G, y: right(-y, G(y)), "the pictures are added"),
    ("asked about the negative", lambda G, y: right(y, G(-y)), "something else than real_target"),
    ("G compared with itself", lambda G, y: right(G(y).detach(), G(y)), "expected the mean of the absolute differences"),
    ("the arguments swapped", lambda y, G: right(y, G(y)), "'Tensor' object is not callable"),
    ("no reduction", solution(lambda x, y: (x - y).abs()), "expected one number"),
    ("weighted by 2", solution(lambda x, y: 2 * right(x, y)), "expected the mean of the absolute differences"),
]

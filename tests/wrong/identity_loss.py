"""identity_loss(G, real_target): wrong and right solutions."""

import torch
import torch.nn.functional as F
from torch import nn


def squares(G, real_target):
    return F.mse_loss(G(real_target), real_target)


def no_absolute(G, real_target):
    return (G(real_target) - real_target).mean()


def summed(G, real_target):
    return F.l1_loss(G(real_target), real_target, reduction="sum")


def per_picture(G, real_target):
    return (G(real_target) - real_target).abs().mean((1, 2, 3))


def asked_twice(G, real_target):
    return F.l1_loss(G(G(real_target)), real_target)


def second_change(G, real_target):
    same = G(real_target)
    return F.l1_loss(G(same), same)


def size_only(G, real_target):
    return G(real_target).abs().mean()


def weighted(G, real_target):
    return 5 * F.l1_loss(G(real_target), real_target)


def half(G, real_target):
    return 0.5 * F.l1_loss(G(real_target), real_target)


def negative(G, real_target):
    return -F.l1_loss(G(real_target), real_target)


def cut(G, real_target):
    return F.l1_loss(G(real_target).detach(), real_target)


def no_graph(G, real_target):
    with torch.no_grad():
        return F.l1_loss(G(real_target), real_target)


def as_number(G, real_target):
    return F.l1_loss(G(real_target), real_target).item()


def never_asked(G, real_target):
    return F.l1_loss(torch.zeros_like(real_target), real_target)


def noise(G, real_target):
    return F.l1_loss(G(torch.randn_like(real_target)), real_target)


def differentiated(G, real_target):
    loss = F.l1_loss(G(real_target), real_target)
    loss.backward(retain_graph=True)
    return loss


def in_eval(G, real_target):
    return F.l1_loss(G.eval()(real_target), real_target)


def frozen(G, real_target):
    loss = F.l1_loss(G(real_target), real_target)
    G.requires_grad_(False)
    return loss


def in_place(G, real_target):
    same = G(real_target.clone())
    real_target -= same.detach()
    return real_target.abs().mean() + 0 * same.sum()


def pictures_with_gradients(G, real_target):
    real_target.requires_grad_(True)
    return F.l1_loss(G(real_target), real_target)


def nothing(G, real_target):
    F.l1_loss(G(real_target), real_target)


WRONG = [
    ("squares", squares, "these are squares"),
    ("no absolute value", no_absolute, "the absolute value is missing"),
    ("asked twice", asked_twice, "G(G(y)), which is no identity"),
    ("the second change", second_change, "G(G(y)) is compared with G(y)"),
    ("size of G(y)", size_only, "the size of G(y) itself"),
    ("sum", summed, "this is the sum, expected the mean"),
    ("per picture", per_picture, "expected one number"),
    ("weight 5", weighted, "the weight 5 is inside"),
    ("weight 0.5", half, "the weight 0.5 is inside"),
    ("sign", negative, "sign is wrong"),
    ("detach", cut, "no gradient flows back"),
    ("no_grad", no_graph, "no gradient flows back"),
    ("item", as_number, ".item() cuts the gradient off"),
    ("G never asked", never_asked, "G was never asked"),
    ("noise", noise, "something else than real_target"),
    ("backward inside", differentiated, "it leaves gradients in G"),
    ("eval mode", in_eval, "eval mode"),
    ("frozen", frozen, "frozen"),
    ("in place", in_place, "changed the pictures"),
    ("requires_grad", pictures_with_gradients, "requires_grad on for the pictures"),
    ("no return", nothing, "return statement missing"),
]


def by_l1(G, real_target):
    return F.l1_loss(G(real_target), real_target)


def by_module(G, real_target):
    return nn.L1Loss()(real_target, G(real_target))


def one_by_one(G, real_target):
    return torch.stack([(G(y[None]) - y[None]).abs().mean() for y in real_target]).mean()


RIGHT = [("l1_loss", by_l1), ("L1Loss", by_module), ("one by one", one_by_one)]

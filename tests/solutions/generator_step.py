"""generator_step(D, G, g_optimizer, z): more wrong solutions, and right ones that are written in other ways."""

import torch
import torch.nn.functional as F

from exercises import steps
from exercises.dcgan.generator_step import of_logits, right

step = steps.step_of(right)


def frozen_meanwhile(D, G, g_optimizer, z):
    D.requires_grad_(False)
    loss = F.softplus(-D(G(z))).mean()
    g_optimizer.zero_grad()
    loss.backward()
    g_optimizer.step()
    D.requires_grad_(True)
    return {"loss_G": loss.item()}


def by_autograd_grad(D, G, g_optimizer, z):
    loss = -F.logsigmoid(D(G(z))).mean()
    parameters = list(G.parameters())
    for p, gradient in zip(parameters, torch.autograd.grad(loss, parameters)):
        p.grad = gradient
    g_optimizer.step()
    return loss.detach()


def through_the_pictures(D, G, g_optimizer, z):
    """D's gradient for the pictures first, then G's from there; D asleep meanwhile."""
    D.eval()
    fake = G(z)
    seen = fake.detach().requires_grad_()
    loss = F.binary_cross_entropy_with_logits(D(seen).flatten(), torch.ones(len(z)))
    (wanted,) = torch.autograd.grad(loss, seen)
    g_optimizer.zero_grad()
    fake.backward(wanted)
    g_optimizer.step()
    D.train()
    return {"loss_G": loss.detach()}


def under_no_grad(D, G, z):
    with torch.no_grad():
        return right(D, G, z)


def D_under_no_grad(D, G, z):
    fake = G(z)
    with torch.no_grad():
        logits = D(fake)
    return F.softplus(-logits).mean()


def clears_D_only(D, G, g_optimizer, z):
    D.zero_grad()
    return steps.step_of(right, clear=False)(D, G, g_optimizer, z)


def trains_both(D, G, g_optimizer, z):
    loss = step(D, G, g_optimizer, z)
    torch.optim.SGD(D.parameters(), lr=0.05).step()
    return loss


def no_step(D, G, g_optimizer, z):
    g_optimizer.zero_grad()
    loss = right(D, G, z)
    loss.backward()
    return loss


def two_steps(D, G, g_optimizer, z):
    step(D, G, g_optimizer, z)
    return step(D, G, g_optimizer, z)


def D_in_eval(D, *arguments):
    D.eval()
    return step(D, *arguments)


def G_in_eval_meanwhile(D, G, *arguments):
    G.eval()
    loss = step(D, G, *arguments)
    G.train()
    return loss


def z_changed(D, G, g_optimizer, z):
    return step(D, G, g_optimizer, z.mul_(2))


def all_logits(D, G, g_optimizer, z):
    step(D, G, g_optimizer, z)
    return D(G(z))


def saturating_returned(D, G, g_optimizer, z):
    saturating = -F.softplus(D(G(z))).mean().detach()
    step(D, G, g_optimizer, z)
    return {"loss_G": saturating}


RIGHT = [
    ("plain", step),
    ("D frozen meanwhile", frozen_meanwhile),
    ("autograd.grad", by_autograd_grad),
    ("through the pictures", through_the_pictures),
    ("z with axes", steps.step_of(lambda D, G, z: right(D, G, z[:, :, None, None]))),
]
WRONG = [
    ("saturating by log", steps.step_of(of_logits(lambda fake: torch.log(1 - fake.sigmoid()).mean())), "saturating"),
    ("no_grad", steps.step_of(under_no_grad), "the graph is cut"),
    ("D under no_grad", steps.step_of(D_under_no_grad), "the graph is cut"),
    ("only D cleared", clears_D_only, "zero_grad()"),
    ("both optimisers", trains_both, "wrong optimiser"),
    ("no step", no_step, "g_optimizer.step() was not called"),
    ("two steps", two_steps, "2 times"),
    ("D left in eval", D_in_eval, "leaves D in eval mode"),
    ("G in eval meanwhile", G_in_eval_meanwhile, "G is in eval mode while it learns"),
    ("z changed", z_changed, "changed z in place"),
    ("never asks G", steps.step_of(lambda D, G, z: D.weights[0].sum()), "G was never asked"),
    ("a loss for each picture", steps.step_of(of_logits(lambda fake: F.softplus(-fake))), "take the mean"),
    ("probabilities", steps.step_of(of_logits(lambda f: F.binary_cross_entropy(f, torch.ones_like(f)))), "with_logits"),
    ("no return", lambda *arguments: [step(*arguments), None][1], "return statement missing"),
    ("loss after the update", steps.step_of(right, again=True), "after the update"),
    ("another key", lambda *arguments: {"loss": step(*arguments)}, "'loss_G'"),
    ("logits returned", all_logits, "expected one number"),
    ("another loss returned", saturating_returned, "saturating"),
]

"""generator_step(D, G, g_optimizer, z): wrong and right solutions."""

import torch
import torch.nn.functional as F


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _step(loss):
    """A whole step from a loss of the logits; the wrong ones exchange the loss."""

    def generator_step(D, G, g_optimizer, z):
        g_optimizer.zero_grad()
        value = loss(D(G(z)))
        value.backward()
        g_optimizer.step()
        return value

    return generator_step


right = _step(lambda fake: bce(fake, 1.0))


def detached(D, G, g_optimizer, z):
    g_optimizer.zero_grad()
    loss = bce(D(G(z).detach()), 1.0)
    loss.backward()
    g_optimizer.step()
    return loss


def under_no_grad(D, G, g_optimizer, z):
    g_optimizer.zero_grad()
    with torch.no_grad():
        loss = bce(D(G(z)), 1.0)
    loss.backward()
    g_optimizer.step()
    return loss


def stale(D, G, g_optimizer, z):
    loss = bce(D(G(z)), 1.0)
    loss.backward()
    g_optimizer.step()
    return loss


def clears_D_only(D, G, g_optimizer, z):
    D.zero_grad()
    return stale(D, G, g_optimizer, z)


def trains_D_instead(D, G, g_optimizer, z):
    optimizer = torch.optim.SGD(D.parameters(), lr=0.05)
    return right(D, G, optimizer, z)


def trains_both(D, G, g_optimizer, z):
    optimizer = torch.optim.SGD(D.parameters(), lr=0.05)
    loss = right(D, G, g_optimizer, z)
    optimizer.step()
    return loss


def no_step(D, G, g_optimizer, z):
    g_optimizer.zero_grad()
    loss = bce(D(G(z)), 1.0)
    loss.backward()
    return loss


def two_steps(D, G, g_optimizer, z):
    right(D, G, g_optimizer, z)
    return right(D, G, g_optimizer, z)


def own_noise(D, G, g_optimizer, z):
    return right(D, G, g_optimizer, torch.randn_like(z))


def leaves_D_frozen(D, G, g_optimizer, z):
    for p in D.parameters():
        p.requires_grad = False
    return right(D, G, g_optimizer, z)


def leaves_D_in_eval(D, G, g_optimizer, z):
    D.eval()
    return right(D, G, g_optimizer, z)


def nothing_returned(D, G, g_optimizer, z):
    right(D, G, g_optimizer, z)


def loss_afterwards(D, G, g_optimizer, z):
    right(D, G, g_optimizer, z)
    return bce(D(G(z)), 1.0)


def other_key(D, G, g_optimizer, z):
    return {"loss": right(D, G, g_optimizer, z)}


def all_logits(D, G, g_optimizer, z):
    right(D, G, g_optimizer, z)
    return D(G(z))


WRONG = [
    ("fakes called fake", _step(lambda fake: bce(fake, 0.0)), "found out"),
    ("saturating", _step(lambda fake: -bce(fake, 0.0)), "saturating"),
    ("saturating by log", _step(lambda fake: torch.log(1 - fake.sigmoid()).mean()), "saturating"),
    ("climbing", _step(lambda fake: -bce(fake, 1.0)), "sign is wrong"),
    ("smoothed", _step(lambda fake: bce(fake, 0.9)), "smoothed"),
    ("Wasserstein", _step(lambda fake: -fake.mean()), "Wasserstein"),
    ("sigmoid twice", _step(lambda fake: bce(fake.sigmoid(), 1.0)), "sigmoid twice"),
    ("detach", detached, "Here the gradient must flow through"),
    ("no_grad", under_no_grad, "no_grad"),
    ("no zero_grad", stale, "zero_grad()"),
    ("only D cleared", clears_D_only, "zero_grad()"),
    ("the other optimiser", trains_D_instead, "D's weights moved"),
    ("both optimisers", trains_both, "wrong optimiser"),
    ("no step", no_step, "g_optimizer.step() was not called"),
    ("two steps", two_steps, "2 times"),
    ("own noise", own_noise, "other noise"),
    ("D left frozen", leaves_D_frozen, "leaves D frozen"),
    ("D left in eval", leaves_D_in_eval, "eval mode"),
    ("no return", nothing_returned, "return statement missing"),
    ("loss after the update", loss_afterwards, "after the update"),
    ("another key", other_key, "'loss_G'"),
    ("logits returned", all_logits, "as one number"),
]


def frozen_D(D, G, g_optimizer, z):
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


RIGHT = [("plain", right), ("D frozen meanwhile", frozen_D), ("autograd.grad", by_autograd_grad)]

"""discriminator_step(D, G, d_optimizer, real, z): more wrong solutions, and right ones that are written in other ways."""

import torch
import torch.nn.functional as F

from exercises import steps
from exercises.dcgan.discriminator_step import of_logits, right, right_loss


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def in_two_backwards(D, G, d_optimizer, real, z):
    D.zero_grad()
    on_real = bce(D(real), 1.0)
    on_real.backward()
    with torch.no_grad():
        fake = G(z)
    on_fake = bce(D(fake), 0.0)
    on_fake.backward()
    d_optimizer.step()
    return (on_real + on_fake).item()


def z_with_axes(D, G, d_optimizer, real, z):
    return steps.step_of(right)(D, G, d_optimizer, real, z[:, :, None, None])


def frozen_G_and_gradients_by_hand(D, G, d_optimizer, real, z):
    G.requires_grad_(False)
    logits_real, logits_fake = D(real), D(G(z))
    G.requires_grad_(True)
    loss = -logits_real.sigmoid().log().mean() - (1 - logits_fake.sigmoid()).log().mean()
    for p, gradient in zip(D.parameters(), torch.autograd.grad(loss, list(D.parameters()))):
        p.grad = gradient
    d_optimizer.step()
    return {"loss_D": loss.item(), "logits_real": logits_real.mean().item()}


def cleared_too_late(D, G, d_optimizer, real, z):
    loss = right(D, G, real, z)
    loss.backward()
    d_optimizer.zero_grad()
    d_optimizer.step()
    return loss


def cleared_at_the_end(D, G, d_optimizer, real, z):
    loss = steps.step_of(right, clear=False)(D, G, d_optimizer, real, z)
    d_optimizer.zero_grad()
    return loss


def cleared_between(D, G, d_optimizer, real, z):
    on_real = bce(D(real), 1.0)
    on_real.backward()
    on_fake = bce(D(G(z).detach()), 0.0)
    d_optimizer.zero_grad()
    on_fake.backward()
    d_optimizer.step()
    return on_real + on_fake


def no_step(D, G, d_optimizer, real, z):
    d_optimizer.zero_grad()
    loss = right(D, G, real, z)
    loss.backward()
    return loss


def under_no_grad(D, G, d_optimizer, real, z):
    with torch.no_grad():
        return steps.step_of(right)(D, G, d_optimizer, real, z)


def by_hand(D, G, d_optimizer, real, z):
    d_optimizer.zero_grad()
    loss = right(D, G, real, z)
    loss.backward()
    with torch.no_grad():
        for p in D.parameters():
            p -= 0.05 * p.grad
    return loss


def own_optimizer(D, G, d_optimizer, real, z):
    return steps.step_of(right)(D, G, torch.optim.Adam(D.parameters()), real, z)


def G_in_eval(D, G, d_optimizer, real, z):
    G.eval()
    return steps.step_of(right)(D, G, d_optimizer, real, z)


def G_frozen(D, G, d_optimizer, real, z):
    G.requires_grad_(False)
    return steps.step_of(right)(D, G, d_optimizer, real, z)


def G_moves(D, G, d_optimizer, real, z):
    loss = steps.step_of(of_logits(right_loss, cut=lambda fake: fake))(D, G, d_optimizer, real, z)
    torch.optim.SGD(G.parameters(), lr=0.1).step()
    return loss


def verdicts_under_no_grad(D, G, real, z):
    with torch.no_grad():
        on_fake = D(G(z))
    return right_loss(D(real), on_fake)


def real_changed(D, G, d_optimizer, real, z):
    return steps.step_of(right)(D, G, d_optimizer, real.mul_(0.5), z)


def other_loss_returned(D, G, d_optimizer, real, z):
    on_real = bce(D(real), 1.0).detach()
    steps.step_of(right)(D, G, d_optimizer, real, z)
    return on_real


def instead(change):
    """Another value returned by the right step."""
    return lambda *arguments: change(steps.step_of(right)(*arguments))


RIGHT = [
    ("one loss, detached", steps.step_of(right)),
    ("two backward passes", in_two_backwards),
    ("z with axes", z_with_axes),
    ("G frozen meanwhile, autograd.grad", frozen_G_and_gradients_by_hand),
    ("a dictionary", instead(lambda loss: {"loss_D": loss.detach(), "more": "text"})),
]
WRONG = [
    ("zero_grad after backward", cleared_too_late, "zero_grad() between backward() and step()"),
    ("zero_grad at the end", cleared_at_the_end, "before backward()"),
    ("zero_grad between the halves", cleared_between, "only the fake pictures"),
    ("no step", no_step, "d_optimizer.step() was not called"),
    ("no backward", steps.step_of(right, backward=False), "backward() missing"),
    ("all under no_grad", under_no_grad, "the graph is cut"),
    ("updated by hand", by_hand, "d_optimizer.step() was not called"),
    ("an optimiser of its own", own_optimizer, "d_optimizer.step() was not called"),
    ("G left in eval", G_in_eval, "leaves G in eval mode"),
    ("G left frozen", G_frozen, "leaves G frozen"),
    ("G moves too", G_moves, "G's weights moved"),
    ("logits detached", steps.step_of(lambda D, G, real, z: right_loss(D(real), D(G(z)).detach())), "D(G(z).detach())"),
    ("fakes judged under no_grad", steps.step_of(verdicts_under_no_grad), "D(G(z).detach())"),
    (
        "both smoothed",
        steps.step_of(of_logits(lambda real, fake: bce(real, 0.9) + bce(fake, 0.1))),
        "expected the mean real_loss",
    ),
    ("reals twice", steps.step_of(lambda D, G, real, z: right_loss(D(real), D(real))), "never asked"),
    (
        "a loss for each picture",
        steps.step_of(of_logits(lambda real, fake: F.softplus(-real) + F.softplus(fake))),
        "take the mean",
    ),
    ("probabilities", steps.step_of(of_logits(lambda r, f: F.binary_cross_entropy(r, torch.ones_like(r)))), "with_logits"),
    (
        "a plain target",
        steps.step_of(of_logits(lambda r, f: F.binary_cross_entropy_with_logits(r, torch.ones(1)))),
        "ones_like",
    ),
    ("real changed", real_changed, "changed real in place"),
    ("only real's loss returned", other_loss_returned, "only the real pictures count"),
    ("another key", instead(lambda loss: {"loss": loss}), "'loss_D'"),
    ("None in the dictionary", instead(lambda loss: {"loss_D": None}), "is None"),
    ("the wrong type", instead(lambda loss: [loss]), "expected one number"),
    ("NaN returned", instead(lambda loss: loss * float("nan")), "the returned loss_D is nan"),
    ("half of it returned", instead(lambda loss: loss / 2), "half of the loss"),
]

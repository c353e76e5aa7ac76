"""discriminator_step(D, G, d_optimizer, real, z): wrong and right solutions."""

import torch
import torch.nn.functional as F


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def update(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


def _step(loss, detached=True):
    """A whole step from a loss of the logits; the wrong ones exchange the loss."""

    def discriminator_step(D, G, d_optimizer, real, z):
        fake = G(z).detach() if detached else G(z)
        return update(d_optimizer, loss(D(real), D(fake)))

    return discriminator_step


def right_loss(real, fake):
    return bce(real, 1.0) + bce(fake, 0.0)


def stale(D, G, d_optimizer, real, z):
    loss = right_loss(D(real), D(G(z).detach()))
    loss.backward()
    d_optimizer.step()
    return loss


def stale_and_swapped(D, G, d_optimizer, real, z):
    loss = bce(D(real), 0.0) + bce(D(G(z).detach()), 1.0)
    loss.backward()
    d_optimizer.step()
    return loss


def cleared_too_late(D, G, d_optimizer, real, z):
    loss = right_loss(D(real), D(G(z).detach()))
    loss.backward()
    d_optimizer.zero_grad()
    d_optimizer.step()
    return loss


def cleared_at_the_end(D, G, d_optimizer, real, z):
    loss = stale(D, G, d_optimizer, real, z)
    d_optimizer.zero_grad()
    return loss


def no_step(D, G, d_optimizer, real, z):
    d_optimizer.zero_grad()
    loss = right_loss(D(real), D(G(z).detach()))
    loss.backward()
    return loss


def no_backward(D, G, d_optimizer, real, z):
    d_optimizer.zero_grad()
    loss = right_loss(D(real), D(G(z).detach()))
    d_optimizer.step()
    return loss


def two_steps(D, G, d_optimizer, real, z):
    first = update(d_optimizer, bce(D(real), 1.0))
    return first + update(d_optimizer, bce(D(G(z).detach()), 0.0))


def cleared_between(D, G, d_optimizer, real, z):
    real_part = bce(D(real), 1.0)
    real_part.backward()
    fake_part = bce(D(G(z).detach()), 0.0)
    d_optimizer.zero_grad()
    fake_part.backward()
    d_optimizer.step()
    return real_part + fake_part


def own_noise(D, G, d_optimizer, real, z):
    return _step(right_loss)(D, G, d_optimizer, real, torch.randn_like(z))


def real_twice(D, G, d_optimizer, real, z):
    return update(d_optimizer, bce(D(real), 1.0) + bce(D(real), 0.0))


def everything_under_no_grad(D, G, d_optimizer, real, z):
    with torch.no_grad():
        return update(d_optimizer, right_loss(D(real), D(G(z))))


def nothing_returned(D, G, d_optimizer, real, z):
    _step(right_loss)(D, G, d_optimizer, real, z)


def loss_afterwards(D, G, d_optimizer, real, z):
    _step(right_loss)(D, G, d_optimizer, real, z)
    return right_loss(D(real), D(G(z).detach()))


def leaves_G_in_eval(D, G, d_optimizer, real, z):
    G.eval()
    return _step(right_loss)(D, G, d_optimizer, real, z)


def leaves_G_frozen(D, G, d_optimizer, real, z):
    G.requires_grad_(False)
    return _step(right_loss)(D, G, d_optimizer, real, z)


def moves_G_too(D, G, d_optimizer, real, z):
    loss = _step(right_loss, detached=False)(D, G, d_optimizer, real, z)
    torch.optim.SGD(G.parameters(), lr=0.1).step()
    return loss


def in_one_pass(D, G, d_optimizer, real, z):
    logits = D(torch.cat([real, G(z).detach()])).flatten()
    loss = F.softplus(-logits[: len(real)]).mean() + F.softplus(logits[len(real) :]).mean()
    return {"loss_D": update(d_optimizer, loss).detach(), "accuracy": ((logits > 0).float().mean())}


def logits_detached(D, G, d_optimizer, real, z):
    return update(d_optimizer, right_loss(D(real), D(G(z)).detach()))


def fakes_judged_under_no_grad(D, G, d_optimizer, real, z):
    with torch.no_grad():
        fake_logits = D(G(z))
    return update(d_optimizer, right_loss(D(real), fake_logits))


WRONG = [
    ("one batch of both", in_one_pass, "two separate calls"),
    ("no detach", _step(right_loss, detached=False), "detach"),
    ("targets swapped", _step(lambda real, fake: bce(real, 0.0) + bce(fake, 1.0)), "swapped"),
    ("fakes called real", _step(lambda real, fake: bce(real, 1.0) + bce(fake, 1.0)), "G's pictures are called real"),
    ("reals called fake", _step(lambda real, fake: bce(real, 0.0) + bce(fake, 0.0)), "real pictures are called fake"),
    ("reals only", _step(lambda real, fake: bce(real, 1.0)), "only the real pictures"),
    ("fakes only", _step(lambda real, fake: bce(fake, 0.0)), "only the fake pictures"),
    ("half", _step(lambda real, fake: right_loss(real, fake) / 2), "half of the loss"),
    ("smoothed", _step(lambda real, fake: bce(real, 0.9) + bce(fake, 0.0)), "smoothed"),
    ("climbing", _step(lambda real, fake: -right_loss(real, fake)), "sign is wrong"),
    ("Wasserstein", _step(lambda real, fake: fake.mean() - real.mean()), "Wasserstein"),
    ("sigmoid twice", _step(lambda real, fake: right_loss(real.sigmoid(), fake.sigmoid())), "sigmoid twice"),
    ("no zero_grad", stale, "zero_grad()"),
    ("no zero_grad, and swapped", stale_and_swapped, "swapped"),
    ("zero_grad after backward", cleared_too_late, "zero_grad()"),
    ("zero_grad at the end", cleared_at_the_end, "before backward()"),
    ("no step", no_step, "d_optimizer.step() was not called"),
    ("no backward", no_backward, "backward() missing"),
    ("two steps", two_steps, "2 times"),
    ("zero_grad between the halves", cleared_between, "only the fake pictures"),
    ("own noise", own_noise, "other noise"),
    ("G left out", real_twice, "G was never asked"),
    ("all under no_grad", everything_under_no_grad, "no_grad"),
    ("no return", nothing_returned, "return statement missing"),
    ("loss after the update", loss_afterwards, "after the update"),
    ("G left in eval", leaves_G_in_eval, "eval mode"),
    ("G left frozen", leaves_G_frozen, "frozen"),
    ("G moves too", moves_G_too, "G's weights moved"),
    ("logits detached", logits_detached, "is fake_logits itself detached?"),
    ("fakes judged under no_grad", fakes_judged_under_no_grad, "D(G(z).detach())"),
]


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
    return _step(right_loss)(D, G, d_optimizer, real, z[:, :, None, None])


RIGHT = [
    ("one loss, detached", _step(right_loss)),
    ("two backward passes", in_two_backwards),
    ("z with axes", z_with_axes),
]

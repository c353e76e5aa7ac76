"""projection_step(w, target, synthesize, perceptual, optimizer): wrong and right solutions."""

import torch
import torch.nn.functional as F


def squared(picture, target, see):
    return (see(picture) - see(target)).square().sum()


def step_with(loss):
    """A whole step with loss(picture, target, perceptual)."""

    def step(w, target, synthesize, perceptual, optimizer):
        optimizer.zero_grad()
        value = loss(synthesize(w), target, perceptual)
        value.backward()
        optimizer.step()
        return value.item()

    return step


def no_zero_grad(w, target, synthesize, perceptual, optimizer):
    loss = squared(synthesize(w), target, perceptual)
    loss.backward()
    optimizer.step()
    return loss.item()


def only_w_cleared(w, target, synthesize, perceptual, optimizer):
    w.grad = None
    return no_zero_grad(w, target, synthesize, perceptual, optimizer)


def cleared_too_late(w, target, synthesize, perceptual, optimizer):
    loss = squared(synthesize(w), target, perceptual)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


def no_backward(w, target, synthesize, perceptual, optimizer):
    optimizer.zero_grad()
    loss = squared(synthesize(w), target, perceptual)
    optimizer.step()
    return loss.item()


def no_backward_nor_zero_grad(w, target, synthesize, perceptual, optimizer):
    loss = squared(synthesize(w), target, perceptual)
    optimizer.step()
    return loss.item()


def no_step(w, target, synthesize, perceptual, optimizer):
    optimizer.zero_grad()
    loss = squared(synthesize(w), target, perceptual)
    loss.backward()
    return loss.item()


def two_steps(w, target, synthesize, perceptual, optimizer):
    for _ in range(2):
        loss = step_with(squared)(w, target, synthesize, perceptual, optimizer)
    return loss


def backward_twice(w, target, synthesize, perceptual, optimizer):
    optimizer.zero_grad()
    loss = squared(synthesize(w), target, perceptual)
    loss.backward(retain_graph=True)
    loss.backward()
    optimizer.step()
    return loss.item()


def by_hand(w, target, synthesize, perceptual, optimizer):
    loss = squared(synthesize(w), target, perceptual)
    (gradient,) = torch.autograd.grad(loss, w)
    w.data -= 0.02 * gradient
    return loss.item()


def own_optimizer(w, target, synthesize, perceptual, optimizer):
    return step_with(squared)(w, target, synthesize, perceptual, torch.optim.Adam([w], lr=0.1))


def w_detached(w, target, synthesize, perceptual, optimizer):
    optimizer.zero_grad()
    loss = squared(synthesize(w.detach()), target, perceptual)
    loss.backward()
    optimizer.step()
    return loss.item()


def picture_detached(w, target, synthesize, perceptual, optimizer):
    return step_with(lambda picture, target, see: squared(picture.detach(), target, see))(
        w, target, synthesize, perceptual, optimizer
    )


def no_grad(w, target, synthesize, perceptual, optimizer):
    with torch.no_grad():
        picture = synthesize(w)
    return step_with(squared)(w, target, lambda _: picture, perceptual, optimizer)


def loss_after(w, target, synthesize, perceptual, optimizer):
    step_with(squared)(w, target, synthesize, perceptual, optimizer)
    return squared(synthesize(w), target, perceptual).item()


def with_graph(w, target, synthesize, perceptual, optimizer):
    optimizer.zero_grad()
    loss = squared(synthesize(w), target, perceptual)
    loss.backward()
    optimizer.step()
    return loss


def nothing(w, target, synthesize, perceptual, optimizer):
    step_with(squared)(w, target, synthesize, perceptual, optimizer)


def the_picture(w, target, synthesize, perceptual, optimizer):
    step_with(squared)(w, target, synthesize, perceptual, optimizer)
    return synthesize(w).detach()


def target_changed(w, target, synthesize, perceptual, optimizer):
    target.clamp_(-0.1, 0.1)
    return step_with(squared)(w, target, synthesize, perceptual, optimizer)


def other_w(w, target, synthesize, perceptual, optimizer):
    return step_with(squared)(w, target, lambda w: synthesize(w / w.norm()), perceptual, optimizer)


def no_picture(w, target, synthesize, perceptual, optimizer):
    optimizer.zero_grad()
    optimizer.step()
    return 0.0


WRONG = [
    ("no zero_grad", no_zero_grad, "old gradients were added: call zero_grad() before backward()"),
    ("only w cleared", only_w_cleared, "optimizer.zero_grad() clears both"),
    ("cleared too late", cleared_too_late, "w did not move"),
    ("no backward", no_backward, "w did not move"),
    ("old gradients only", no_backward_nor_zero_grad, "call backward() before step()"),
    ("no step", no_step, "optimizer.step() was not called"),
    ("two steps", two_steps, "called 2 times, expected once"),
    ("backward twice", backward_twice, "backward() ran twice"),
    ("by hand", by_hand, "but not by optimizer.step()"),
    ("own optimiser", own_optimizer, "but not by optimizer.step()"),
    ("w detached", w_detached, "no gradient reaches w"),
    ("picture detached", picture_detached, "does not require grad"),
    ("no_grad", no_grad, "does not require grad"),
    ("mean", step_with(lambda y, t, see: F.mse_loss(see(y), see(t))), "the mean over the features"),
    ("root", step_with(lambda y, t, see: (see(y) - see(t)).norm()), "the root of the sum"),
    ("absolute", step_with(lambda y, t, see: (see(y) - see(t)).abs().sum()), "these are absolute values"),
    ("not squared", step_with(lambda y, t, see: (see(y) - see(t)).sum()), "the differences are not squared"),
    ("climbs", step_with(lambda y, t, see: -squared(y, t, see)), "the sign is wrong"),
    ("pixels", step_with(lambda y, t, see: F.mse_loss(y, t)), "the pixels are compared"),
    ("difference", step_with(lambda y, t, see: see(y - t).square().sum()), "perceptual sees the difference"),
    ("no target", step_with(lambda y, t, see: see(y).square().sum()), "the target is left out"),
    ("pixels added", step_with(lambda y, t, see: squared(y, t, see) + F.mse_loss(y, t)), "the pixels' error is added"),
    (
        "cosine",
        step_with(lambda y, t, see: 1 - F.cosine_similarity(see(y), see(t)).sum()),
        "this is the cosine",
    ),
    ("loss after", loss_after, "this is the loss after the step"),
    ("with graph", with_graph, "carries its graph"),
    ("picture returned", the_picture, "expected the loss as one number"),
    ("target changed", target_changed, "it changed target in place"),
    ("another w", other_w, "synthesize was given something else than w"),
    ("no picture", no_picture, "call synthesize(w)"),
    ("no return", nothing, "return statement missing"),
]


def with_target_first(w, target, synthesize, perceptual, optimizer):
    with torch.no_grad():
        wanted = perceptual(target)
    loss = F.mse_loss(perceptual(synthesize(w)), wanted, reduction="sum")
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def together(w, target, synthesize, perceptual, optimizer):
    mine, wanted = perceptual(torch.cat([synthesize(w), target]))
    difference = mine - wanted
    loss = difference @ difference
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.detach()


def by_closure(w, target, synthesize, perceptual, optimizer):
    def closure():
        optimizer.zero_grad()
        loss = torch.dist(perceptual(target), perceptual(synthesize(w))) ** 2
        loss.backward()
        return loss

    return optimizer.step(closure).item()


def by_gradients(w, target, synthesize, perceptual, optimizer):
    params = [p for group in optimizer.param_groups for p in group["params"]]
    loss = squared(synthesize(w), target, perceptual)
    for p, gradient in zip(params, torch.autograd.grad(loss, params)):
        p.grad = gradient
    optimizer.step()
    return loss.item()


RIGHT = [
    ("plain", step_with(squared)),
    ("target first", with_target_first),
    ("both at once", together),
    ("closure", by_closure),
    ("gradients", by_gradients),
]

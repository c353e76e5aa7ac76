"""projection_step(w, target, synthesize, perceptual, optimizer): more wrong solutions, and right ones written in other ways."""

import torch
import torch.nn.functional as F

from exercises.projection.projection_step import nothing, only_w, projection_step, squared, step


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


def one_row(w, target, synthesize, perceptual, optimizer):
    """Of one picture: [1] is a number, too, and several are refused by backward()."""
    optimizer.zero_grad()
    loss = (perceptual(target) - perceptual(synthesize(w))).pow(2).sum(1)
    loss.backward()
    optimizer.step()
    return loss.item()


def no_backward(w, target, synthesize, perceptual, optimizer):
    optimizer.zero_grad()
    loss = squared(synthesize(w), target, perceptual)
    optimizer.step()
    return loss.item()


def cleared_too_late(w, target, synthesize, perceptual, optimizer):
    loss = squared(synthesize(w), target, perceptual)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


def no_step(w, target, synthesize, perceptual, optimizer):
    loss = squared(synthesize(w), target, perceptual)
    loss.backward()
    return loss.item()


def with_graph(w, target, synthesize, perceptual, optimizer):
    loss = squared(synthesize(w), target, perceptual)
    projection_step(w, target, synthesize, perceptual, optimizer)
    return loss


def own_optimizer(w, target, synthesize, perceptual, optimizer):
    return projection_step(w, target, synthesize, perceptual, torch.optim.SGD([w], lr=0.1))


def step_first(w, target, synthesize, perceptual, optimizer):
    loss = squared(synthesize(w), target, perceptual)
    optimizer.step()
    optimizer.zero_grad()
    loss.backward()
    return loss.item()


def two_steps(*arguments):
    projection_step(*arguments)
    return projection_step(*arguments)


def by_hand(w, target, synthesize, perceptual, optimizer):
    loss = squared(synthesize(w), target, perceptual)
    (gradient,) = torch.autograd.grad(loss, w)
    w.data -= 0.02 * gradient
    return loss.item()


def no_grad(w, target, synthesize, perceptual, optimizer):
    with torch.no_grad():
        picture = synthesize(w)
    return projection_step(w, target, lambda _: picture, perceptual, optimizer)


def item_first(w, target, synthesize, perceptual, optimizer):
    optimizer.zero_grad()
    loss = squared(synthesize(w), target, perceptual).item()
    loss.backward()
    optimizer.step()
    return loss


def the_picture(w, target, synthesize, perceptual, optimizer):
    projection_step(w, target, synthesize, perceptual, optimizer)
    return synthesize(w).detach()


def mean_returned(w, target, synthesize, perceptual, optimizer):
    before = F.mse_loss(perceptual(synthesize(w)), perceptual(target)).item()
    projection_step(w, target, synthesize, perceptual, optimizer)
    return before


def w_in_place(w, target, synthesize, perceptual, optimizer):
    w -= 0.1 * torch.autograd.grad(squared(synthesize(w), target, perceptual), w)[0]
    return 0.0


RIGHT = [
    ("plain", projection_step),
    ("target first", with_target_first),
    ("both at once", together),
    ("closure", by_closure),
    ("gradients", by_gradients),
    ("one row", one_row),
]
WRONG = [
    (
        "mean over the batch",
        step(lambda y, t, see: (see(y) - see(t)).square().sum(1).mean()),
        "divided by the number of pictures",
    ),
    ("the first row", step(lambda y, t, see: (see(y) - see(t))[0].square().sum()), "only the first picture counts"),
    ("only w cleared, mean", step(lambda y, t, see: F.mse_loss(see(y), see(t)), clear=only_w), "the mean over the features"),
    ("mean of a huge sum", step(lambda y, t, see: 2 * squared(y, t, see), clear=nothing), "one step down its gradient"),
    ("no backward", no_backward, "w did not move: is backward() missing"),
    ("cleared too late", cleared_too_late, "w did not move: is backward() missing"),
    ("no step", no_step, "optimizer.step() was not called"),
    ("an optimiser of its own", own_optimizer, "but not by optimizer.step()"),
    ("with graph", with_graph, "carries its graph"),
    ("step before backward", step_first, "call backward() before step()"),
    ("two steps", two_steps, "called 2 times, expected once"),
    ("by hand", by_hand, "but not by optimizer.step()"),
    ("no_grad", no_grad, "is there a detach, no_grad or item()"),
    ("item first", item_first, "take item() of it at the end"),
    ("picture returned", the_picture, "expected one number"),
    ("mean returned", mean_returned, "the returned loss of a search in w [1, 1, 6] is"),
    ("w in place", w_in_place, "w moves by optimizer.step() alone"),
]

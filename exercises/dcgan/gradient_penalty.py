"""gradient_penalty(D, real, fake): mean (||grad D(x)|| - 1)^2 at random points between real and fake pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from exercises.base import Exercise
from exercises.judging import between, close, gradients, require, shape, tensor, untouched
from exercises.probing import Answer, Case, called, copied, gradients_for, plain
from facegen.training.losses import gradient_penalty

MANY = 48  # pictures show how their shares are spread


def cases(g: torch.Generator) -> list[Case]:
    """Pairs that share their first value, the slope of the critic between the two."""
    found = []
    for steep, n, axes in ((0.5, between(3, 6, g), [1]), (3.0, between(3, 6, g), []), (2.0, 2, [1, 1, 1]), (1.0, MANY, [1])):
        size = between(7, 9, g) if n < MANY else 4  # never n, which would let shares [N] pass
        w = torch.randn(3 * size * size, generator=g)
        real, fake = (torch.randn(n, 3, size, size, generator=g) for _ in range(2))
        real[:, 0, 0, 0] = fake[:, 0, 0, 0] = 0.4 + 1.2 * torch.rand(n, generator=g)
        found.append({"w": w * steep / w.norm(), "axes": axes, "real": real, "fake": fake})
    return found


class Critic(nn.Module):
    """x_0 <w, x> for each picture, of which only <w, x> has a gradient: x_0 w. It keeps what it was shown."""

    def __init__(self, w: Tensor, axes: list[int]) -> None:
        super().__init__()
        self.w, self.axes, self.seen = nn.Parameter(w), axes, []

    def last_shown(self, like: Tensor) -> Tensor | None:
        """As many of the pictures that it was shown last, in one call or in many."""
        rows = [x for x in self.seen if x.shape[1:] == like.shape[1:]]
        return plain(torch.cat(rows)[-len(like) :]) if rows else None

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x.detach().clone())
        return (x.detach()[:, 0, 0, 0] * (x.flatten(1) @ self.w)).reshape(len(x), *self.axes)


def probe(gradient_penalty: Callable, case: Case) -> Answer:
    D, real, fake = Critic(case["w"], case["axes"]), case["real"], case["fake"]
    others = copied((real, fake))
    answer = called(partial(gradient_penalty, D), real, fake)
    answer |= {"points": D.last_shown(real), "left": D.w.grad is not None, "ready": D.training and D.w.requires_grad}
    answer["switched"] = real.requires_grad or fake.requires_grad
    # The critic has one slope along a line, so that only the points differ from call to call.
    again = gradient_penalty(D, *others)
    return answer | {"gradients": gradients_for([D.w], again), "other points": D.last_shown(real)}


def call(case: Case) -> str:
    slopes = case["w"].norm() * case["real"][:, 0, 0, 0]
    return f"the penalty of a critic with slopes from {float(slopes.min()):.2f} to {float(slopes.max()):.2f}"


def judge(case: Case, answer: Answer) -> dict[str, Tensor]:
    untouched(answer, "real", "fake")
    value = tensor(answer["value"], "the penalty")
    require(value.numel() == 1, f"the penalty has shape {shape(value)}, expected one number: the mean over the batch")
    require(answer["switched"] is False, "it switched requires_grad on for real or fake: use a new tensor")
    require(answer["left"] is False, "it leaves gradients in D's weights: use torch.autograd.grad, not backward()")
    require(answer["ready"] is True, "it leaves D frozen or in eval mode")
    require(answer["points"] is not None, "D was never called: the gradient is that of D(x)")
    points_are_random(case["real"], case["fake"], answer["points"], answer["other points"])
    found = gradients(answer["gradients"], "D's weights")
    cut = "the penalty cannot be differentiated with respect to D's weights: grad needs create_graph=True (and no detach)"
    require(value == 0 or all(g.any() for g in found.values()), cut)
    return {"": value.reshape(()), **found}


def points_are_random(real: Tensor, fake: Tensor, x: Tensor, others: Tensor) -> None:
    require(x.shape == real.shape, f"D was shown {shape(x)}, expected points between real and fake, {shape(real)}")
    real, fake, at = real.flatten(1), fake.flatten(1), x.flatten(1)
    for pictures, name in ((real, "real"), (fake, "fake")):
        where = f"the gradient is taken at the {name} pictures, expected random points between real and fake"
        require(not close(at, pictures), where)
    share = ((at - fake) * (real - fake)).sum(1) / (real - fake).square().sum(1)  # [N]: 1 at the real picture, 0 at the fake
    low, high = float(share.min()), float(share.max())
    require(
        close(at, share[:, None] * real + (1 - share[:, None]) * fake, 1e-3),
        "a point is not on the line from its fake to its real picture: one share per picture [N, 1, 1, 1], not per pixel;"
        " and is it eps * real + (1 - eps) * fake?",
    )
    if len(real) < MANY:
        return
    require(high - low > 1e-3, f"all pictures are mixed with one share, {low:.2f}: expected a random one per picture")
    reach = f"the shares of real lie between {low:.2f} and {high:.2f}, expected uniform in [0, 1]: "
    require(low > -0.01 and high < 1.01, reach + "rand, not randn")
    require(low < 0.2 and high > 0.8 and ((share - 0.5).abs() < 0.3).any(), reach + "the whole way counts")
    require(not close(x, others), "the same points in every call: draw new shares each time (no fixed seed)")


# -- mistakes


def solution(
    share: Callable = lambda real: torch.rand(len(real), 1, 1, 1),
    output: Callable = torch.sum,
    create_graph: bool = True,
    norms: Callable = lambda gradient: gradient.flatten(1).norm(dim=1),
    value: Callable = lambda norms: (norms - 1).square().mean(),
) -> Callable:
    """A penalty with another share of real, one number of D's outputs, norms of the gradient, or value of these."""

    def wrong(D: Callable, real: Tensor, fake: Tensor) -> Tensor:
        eps = share(real)
        x = (eps * real + (1 - eps) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(output(D(x)), x, create_graph=create_graph)
        return value(norms(gradient))

    return wrong


def by_backward(D: Callable, real: Tensor, fake: Tensor) -> Tensor:
    x = torch.lerp(fake, real, torch.rand(len(real), 1, 1, 1)).requires_grad_(True)
    D(x).sum().backward(create_graph=True)
    return (x.grad.flatten(1).norm(dim=1) - 1).square().mean()


def switches_real_on(D: Callable, real: Tensor, fake: Tensor) -> Tensor:
    return solution()(D, real.requires_grad_(True), fake)


def mixes_in_place(D: Callable, real: Tensor, fake: Tensor) -> Tensor:
    eps = torch.rand(len(real), 1, 1, 1)
    return solution()(D, real.mul_(eps).add_((1 - eps) * fake), fake)


MISTAKES = {
    "the norm is pulled to 0, expected to 1": solution(value=lambda n: n.square().mean()),
    "the square of the norm is compared with 1, expected the norm": solution(value=lambda n: (n**2 - 1).square().mean()),
    "the distance to 1 is not squared": solution(value=lambda n: (n - 1).mean()),
    "the distance to 1 is not squared, only its absolute value taken": solution(value=lambda n: (n - 1).abs().mean()),
    "norms below 1 are not punished (one-sided), expected both sides": solution(value=lambda n: F.relu(n - 1).square().mean()),
    "this is the sum over the batch, expected the mean": solution(value=lambda n: (n - 1).square().sum()),
    "the weight 10 is inside, expected the plain penalty": solution(value=lambda n: 10 * (n - 1).square().mean()),
    "half of it is returned": solution(value=lambda n: (n - 1).square().mean() / 2),
    "the mean of the norms is compared with 1, expected the mean of the squares": solution(
        value=lambda n: (n.mean() - 1).square()
    ),
    "the root is taken at the end, expected the mean of the squares": solution(value=lambda n: (n - 1).square().mean().sqrt()),
    "one norm over the whole batch, expected one norm per picture": solution(norms=torch.norm),
    "D's mean was differentiated, expected its sum (ones as grad_outputs)": solution(output=torch.mean),
    "the norm runs over the channels of a pixel: flatten each picture first": solution(norms=lambda g: g.norm(dim=1)),
    "one norm per channel, expected per picture: flatten it first": solution(norms=lambda g: g.flatten(2).norm(dim=2)),
    "one norm per row of pixels, expected per picture: flatten it first": solution(norms=lambda g: g.norm(dim=3)),
    "one norm per column of pixels, expected per picture: flatten it first": solution(norms=lambda g: g.norm(dim=2)),
    "the norm runs over the batch, expected over the values of a picture: dim=1": solution(
        norms=lambda g: g.flatten(1).norm(dim=0)
    ),
    "the sum of absolute values, expected the Euclidean norm": solution(norms=lambda g: g.flatten(1).abs().sum(1)),
    "the root of the mean of the squares, expected of their sum": solution(
        norms=lambda g: g.flatten(1).square().mean(1).sqrt()
    ),
}

EXERCISE = Exercise(
    component="gradient_penalty",
    chapter=2,
    place=8,
    minutes=15,
    difficulty=3,
    task="A slope of 1, for WGAN-GP.",
    verified="critics of known slopes, random points between real and fake, differentiable, nothing left behind",
    reference=gradient_penalty,
    cases=cases,
    probe=probe,
    judge=judge,
    call=call,
    rule="expected the mean of (norm - 1)^2 over the pictures, with the norm of the gradient of D's sum for the mixed pictures",
    mistakes=MISTAKES,
    refused=[
        ("create_graph=True", solution(create_graph=False)),
        ("create_graph=True", solution(norms=lambda g: g.detach().flatten(1).norm(dim=1))),
        ("mixed with one share", solution(lambda real: torch.rand(1))),
        ("not per pixel", solution(torch.rand_like)),
        ("rand, not randn", solution(lambda real: torch.randn(len(real), 1, 1, 1))),
        ("the whole way counts", solution(lambda real: 0.5 * torch.rand(len(real), 1, 1, 1))),
        ("at the real pictures", solution(lambda real: 1)),
        ("at the fake pictures", solution(lambda real: 0)),
        ("the same points in every call", solution(lambda real: torch.linspace(0, 1, len(real)).reshape(-1, 1, 1, 1))),
        ("expected one number: the mean", solution(value=lambda n: (n - 1).square())),
        ("leaves gradients in D's weights", by_backward),
        ("requires_grad on for real", switches_real_on),
        ("changed real in place", mixes_in_place),
        ("one number per picture needs the shape [N, 1, 1, 1]", solution(lambda real: torch.rand(len(real)))),
        ("the sum of D's outputs", solution(output=lambda logits: logits)),
        ("is a float, expected a tensor", solution(value=lambda n: (n - 1).square().mean().item())),
    ],
    hints={
        r"does not require grad": "the graph is cut: the new tensor needs requires_grad_(True) before D sees it, and no detach",
        r"not have been used in the graph": "differentiate for the tensor that D was shown",
        r"size of tensor a .* must match": "shapes do not fit: one number per picture needs the shape [N, 1, 1, 1]",
        r"only for scalar outputs|implicitly created": "only one number can be differentiated: take the sum of D's outputs",
        r"'tuple' object has no attribute": "torch.autograd.grad gives a tuple: take its first entry, [0]",
        r"backward through the graph": "the graph is kept for the second derivative with create_graph=True",
    },
)

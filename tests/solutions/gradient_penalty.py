"""gradient_penalty(D, real, fake): more wrong solutions, and right ones that are written in other ways."""

import torch

from exercises.dcgan.gradient_penalty import solution


def textbook(D, real, fake):
    n = real.size(0)
    alpha = torch.rand(n, 1, device=real.device).expand(n, real[0].numel()).reshape(real.shape)
    x = torch.autograd.Variable(alpha * real.data + (1 - alpha) * fake.data, requires_grad=True)
    logits = D(x)
    ones = torch.ones_like(logits)
    gradients = torch.autograd.grad(logits, x, grad_outputs=ones, create_graph=True, retain_graph=True, only_inputs=True)[0]
    gradients = gradients.view(n, -1)
    return ((torch.sqrt((gradients**2).sum(dim=1) + 1e-12) - 1) ** 2).mean()


def by_func(D, real, fake):
    t = torch.rand(len(real), *[1] * (real.dim() - 1))
    x = torch.lerp(real, fake, t)
    gradient = torch.func.grad(lambda x: D(x).sum())(x)
    return torch.nn.functional.mse_loss(gradient.flatten(1).norm(dim=1), torch.ones(len(real)))


def one_by_one(D, real, fake):
    parts = []
    for a, b in zip(real, fake):
        x = (b + torch.rand(()) * (a - b))[None].requires_grad_(True)
        (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        parts.append((gradient.norm() - 1) ** 2)
    return torch.stack(parts).mean()


def at(points, make=lambda x: x.requires_grad_(True)):
    """A penalty at other points, made ready in another way."""

    def wrong(D, real, fake):
        x = make(points(real, fake, torch.rand(len(real), 1, 1, 1)))
        (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()

    return wrong


def line(real, fake, eps):
    return eps * real + (1 - eps) * fake


def fixed_seed(real):
    torch.manual_seed(0)
    return torch.rand(len(real), 1, 1, 1)


def tuple_kept(D, real, fake):
    x = line(real, fake, torch.rand(len(real), 1, 1, 1)).requires_grad_(True)
    gradient = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def for_real(D, real, fake):
    start = real.clone().requires_grad_(True)
    x = line(start, fake, torch.rand(len(real), 1, 1, 1))
    (gradient,) = torch.autograd.grad(D(x).sum(), start, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def freezes(D, real, fake):
    for p in D.parameters():
        p.requires_grad_(False)
    return at(line)(D, real, fake)


def without_critic(D, real, fake):
    return (line(real, fake, 0.5).flatten(1).norm(dim=1) - 1).square().mean()


RIGHT = [
    ("plain", solution()),
    ("textbook", textbook),
    ("torch.func", by_func),
    ("one picture at a time", one_by_one),
    ("the share counts fake", at(lambda real, fake, eps: line(fake, real, eps))),
    ("distance in the other order", solution(value=lambda n: (1 - n).pow(2).sum() / len(n))),
    ("linalg", solution(norms=lambda g: torch.linalg.vector_norm(g, dim=(1, 2, 3)))),
]
WRONG = [
    ("always the middle", solution(lambda real: 0.5), "mixed with one share"),
    ("fixed seed", solution(fixed_seed), "the same points"),
    ("real + eps * fake", at(lambda real, fake, eps: real + eps * fake), "is it eps * real + (1 - eps) * fake"),
    ("eps * (real - fake)", at(lambda real, fake, eps: eps * (real - fake)), "is it eps * real + (1 - eps) * fake"),
    ("a share for real, another for fake", at(lambda real, fake, eps: eps * real + torch.rand(1) * fake), "is not on the line"),
    ("whole shares", solution(lambda real: torch.randint(2, (len(real), 1, 1, 1)).float()), "expected"),
    ("a share per channel", solution(lambda real: torch.rand(len(real), 3, 1, 1)), "not per pixel"),
    ("shares [N, 1]", solution(lambda real: torch.rand(len(real), 1)), "[N, 1, 1, 1]"),
    ("x without gradient", at(line, lambda x: x), "requires_grad_(True) before D sees it"),
    ("x detached", at(line, lambda x: x.requires_grad_(True).detach()), "requires_grad_(True) before D sees it"),
    ("the tuple kept", tuple_kept, "take its first entry"),
    ("for real", for_real, "gradient of D's sum for the mixed pictures"),
    ("in no_grad", torch.no_grad()(at(line)), "the graph is cut"),
    ("D frozen", freezes, "it leaves D frozen"),
    ("D not used", without_critic, "D was never called"),
    ("a list", solution(value=lambda n: [(n - 1).square().mean()]), "is a list, expected a tensor"),
    ("the largest entry", solution(norms=lambda g: g.flatten(1).abs().amax(1)), "expected the mean of (norm - 1)^2"),
    ("the mean of the gradient", solution(norms=lambda g: g.flatten(1).mean(1)), "expected the mean of (norm - 1)^2"),
    ("no return", lambda D, real, fake: None, "return statement"),
    ("no D", lambda real, fake: 0, "signature"),
]

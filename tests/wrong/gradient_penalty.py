"""gradient_penalty(D, real, fake): wrong and right solutions."""

import torch


def _penalty(
    share=lambda real: torch.rand(len(real), 1, 1, 1),
    output=torch.sum,
    create_graph=True,
    norms=lambda gradient: gradient.flatten(1).norm(dim=1),
    value=lambda norms: ((norms - 1) ** 2).mean(),
):
    """A right penalty if called as it is; the wrong ones exchange a part."""

    def gradient_penalty(D, real, fake):
        eps = share(real)
        x = (eps * real + (1 - eps) * fake).requires_grad_(True)
        (gradient,) = torch.autograd.grad(output(D(x)), x, create_graph=create_graph)
        return value(norms(gradient))

    return gradient_penalty


def by_backward(D, real, fake):
    eps = torch.rand(len(real), 1, 1, 1)
    x = (eps * real + (1 - eps) * fake).requires_grad_(True)
    D(x).sum().backward(create_graph=True)
    return ((x.grad.flatten(1).norm(dim=1) - 1) ** 2).mean()


def at_real(D, real, fake):
    x = real.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def switches_real_on(D, real, fake):
    real.requires_grad_(True)
    eps = torch.rand(len(real), 1, 1, 1)
    x = eps * real + (1 - eps) * fake
    (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def mixes_in_place(D, real, fake):
    eps = torch.rand(len(real), 1, 1, 1)
    x = real.mul_(eps).add_((1 - eps) * fake).clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def input_without_grad(D, real, fake):
    eps = torch.rand(len(real), 1, 1, 1)
    x = eps * real + (1 - eps) * fake
    (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


def fixed_seed(real):
    torch.manual_seed(0)
    return torch.rand(len(real), 1, 1, 1)


def real_not_weighted(D, real, fake):
    x = (real + torch.rand(len(real), 1, 1, 1) * fake).requires_grad_(True)
    (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


WRONG = [
    ("no create_graph", _penalty(create_graph=False), "create_graph=True"),
    ("retain_graph instead", _penalty(norms=lambda g: g.detach().flatten(1).norm(dim=1)), "create_graph=True"),
    ("one share for the batch", _penalty(share=lambda real: torch.rand(1)), "mixed with one share"),
    ("always the middle", _penalty(share=lambda real: 0.5), "mixed with one share"),
    ("a share per pixel", _penalty(share=torch.rand_like), "not per pixel"),
    ("normal shares", _penalty(share=lambda real: torch.randn(len(real), 1, 1, 1)), "rand, not randn"),
    ("half of the way", _penalty(share=lambda real: 0.5 * torch.rand(len(real), 1, 1, 1)), "the whole way"),
    ("fixed seed", _penalty(share=fixed_seed), "the same points"),
    ("at real", at_real, "at the real pictures"),
    ("D's mean", _penalty(output=torch.mean), "D's mean was differentiated"),
    ("norm over the batch", _penalty(norms=lambda g: g.norm()), "one norm per picture"),
    ("norm over channels", _penalty(norms=lambda g: g.norm(2, dim=1)), "flatten each picture"),
    ("norm per channel", _penalty(norms=lambda g: g.flatten(2).norm(dim=2)), "flatten"),
    ("norm over columns", _penalty(norms=lambda g: g.norm(dim=-1)), "flatten"),
    ("towards 0", _penalty(value=lambda n: (n**2).mean()), "pulled to 0"),
    ("norm squared", _penalty(value=lambda n: ((n**2 - 1) ** 2).mean()), "square of the norm"),
    ("not squared", _penalty(value=lambda n: (n - 1).mean()), "not squared"),
    ("absolute value", _penalty(value=lambda n: (n - 1).abs().mean()), "absolute value"),
    ("one-sided", _penalty(value=lambda n: ((n - 1).clamp(min=0) ** 2).mean()), "one-sided"),
    ("sum", _penalty(value=lambda n: ((n - 1) ** 2).sum()), "the sum over the batch"),
    ("one for each", _penalty(value=lambda n: (n - 1) ** 2), "expected one number"),
    ("times 10", _penalty(value=lambda n: 10 * ((n - 1) ** 2).mean()), "weight 10"),
    ("mean of norms", _penalty(value=lambda n: (n.mean() - 1) ** 2), "mean of the norms"),
    ("sum of absolutes", _penalty(norms=lambda g: g.flatten(1).abs().sum(1)), "Euclidean"),
    ("backward", by_backward, "leaves gradients in D"),
    ("real switched on", switches_real_on, "requires_grad on for real"),
    ("in place", mixes_in_place, "in place"),
    ("x without gradient", input_without_grad, "graph"),
    ("a number", _penalty(value=lambda n: ((n - 1) ** 2).mean().item()), "float"),
    ("real + eps * fake", real_not_weighted, "is it eps * real + (1 - eps) * fake"),
]


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


RIGHT = [("plain", _penalty()), ("textbook", textbook), ("torch.func", by_func)]

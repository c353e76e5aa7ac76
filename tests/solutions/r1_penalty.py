"""r1_penalty(logits, real): more wrong solutions, and right ones that are written in other ways."""

import torch

from exercises.stylegan.r1_penalty import derived, reduced, slope, squares


def by_grad_outputs(logits, real):
    ones = torch.ones_like(logits)
    gradient = torch.autograd.grad(outputs=logits, inputs=real, grad_outputs=ones, create_graph=True, retain_graph=True)[0]
    return gradient.pow(2).reshape(gradient.shape[0], -1).sum(1)


def by_einsum(logits, real):
    gradient = slope(logits, real)
    return torch.einsum("nchw,nchw->n", gradient, gradient)


def by_loop(logits, real):
    rows = [torch.autograd.grad(logit.sum(), real, create_graph=True)[0][i] for i, logit in enumerate(logits)]
    return torch.stack([(row * row).sum() for row in rows])


def by_products(logits, real):
    """The diagonal of all products of two gradients."""
    gradient = slope(logits, real).flatten(1)
    return (gradient @ gradient.T).diagonal()


def by_backward(logits, real):
    logits.sum().backward(create_graph=True)
    return squares(real.grad)


def backward_alone(logits, real):
    logits.sum().backward(retain_graph=True)
    return squares(real.grad)


def as_tuple(logits, real):
    return squares(torch.autograd.grad(logits.sum(), real, create_graph=True))


def no_graph(logits, real):
    with torch.no_grad():
        return squares(slope(logits, real))


RIGHT = [
    ("sum", derived(lambda logits: logits)),
    ("grad_outputs", by_grad_outputs),
    ("norm", reduced(lambda d: d.flatten(1).norm(2, dim=1) ** 2)),
    ("einsum", by_einsum),
    ("loop", by_loop),
    ("products", by_products),
]
WRONG = [
    ("ones like real", lambda logits, real: torch.autograd.grad(logits, real, torch.ones_like(real)), "ones_like(logits)"),
    ("keepdim", reduced(lambda d: squares(d)[:, None]), "no keepdim"),
    ("[N, N]", reduced(lambda d: squares(d)[:, None] * torch.ones(len(d))), "became [N, N]"),
    ("no sum", reduced(torch.square), "the sum over axes 1, 2, 3 is missing"),
    ("graph freed", reduced(retain_graph=False), "the graph is gone after the penalty"),
    ("backward", by_backward, "use torch.autograd.grad, not backward()"),
    ("a clone of real", lambda logits, real: squares(slope(logits, real.clone())), "D has not seen"),
    ("whole logits", lambda logits, real: torch.autograd.grad(logits, real)[0], "only one number can be differentiated"),
    ("no return", lambda logits, real: None, "return statement missing"),
    ("neither graph nor retain", reduced(create_graph=False), "grad needs create_graph=True"),
    ("backward alone", backward_alone, "use torch.autograd.grad, not backward()"),
    ("a tuple", as_tuple, "take its first entry, [0]"),
    ("no_grad", no_graph, "the graph is cut"),
    ("detached logits", lambda logits, real: squares(slope(logits.detach(), real)), "the graph is cut"),
    ("detached", reduced(lambda d: squares(d).detach()), "no detach after it"),
    ("numbers", reduced(lambda d: squares(d).tolist()), "expected a tensor"),
    ("a copy of real", lambda logits, real: squares(slope(logits, real.detach().requires_grad_())), "D has not seen"),
    ("sum over the batch", reduced(lambda d: d.square().sum()), "one for each picture"),
    ("over pixels", reduced(lambda d: d.square().sum((2, 3))), "sum over all axes but the first"),
    ("length in channels", reduced(lambda d: d.norm(dim=1).sum((1, 2))), "the sum over a picture of D's squared gradient"),
    ("at least 1", reduced(lambda d: squares(d).clamp(max=1)), "the sum over a picture of D's squared gradient"),
    ("times 16 and half", reduced(lambda d: 8 * squares(d)), "the sum over a picture of D's squared gradient"),
]

"""r1_penalty(logits, real): wrong and right solutions."""

import torch
import torch.nn.functional as F


def slope(logits, real, **options):
    (gradient,) = torch.autograd.grad(logits.sum(), real, **({"create_graph": True} | options))
    return gradient


def reduced(function):
    """The gradient is right, function(gradient) is not."""
    return lambda logits, real: function(slope(logits, real))


def derived(function):
    """The gradient of function(logits), squared and summed."""
    return lambda logits, real: slope(function(logits), real).square().sum((1, 2, 3))


def per_picture(gradient):
    return gradient.square().sum((1, 2, 3))


def no_create_graph(logits, real):
    return per_picture(slope(logits, real, create_graph=False, retain_graph=True))


def neither(logits, real):
    return per_picture(slope(logits, real, create_graph=False))


def graph_freed(logits, real):
    return per_picture(slope(logits, real, retain_graph=False))


def by_backward(logits, real):
    logits.sum().backward(create_graph=True)
    return per_picture(real.grad)


def by_backward_alone(logits, real):
    logits.sum().backward(retain_graph=True)
    return per_picture(real.grad)


def whole_logits(logits, real):
    return per_picture(torch.autograd.grad(logits, real, create_graph=True)[0])


def as_tuple(logits, real):
    return per_picture(torch.autograd.grad(logits.sum(), real, create_graph=True))


def detached(logits, real):
    return per_picture(slope(logits, real).detach())


def half_detached(logits, real):
    gradient = slope(logits, real)
    return (gradient * gradient.detach()).sum((1, 2, 3))


def as_numbers(logits, real):
    return per_picture(slope(logits, real)).tolist()


def no_graph(logits, real):
    with torch.no_grad():
        return per_picture(slope(logits, real))


def for_a_copy(logits, real):
    return per_picture(slope(logits, real.detach().requires_grad_(True)))


def for_a_clone(logits, real):
    return per_picture(slope(logits, real.clone()))


def times_batch(logits, real):
    return per_picture(slope(logits, real))[:, None] * torch.ones(len(real))


def times_pictures(logits, real):
    return per_picture(slope(logits, real) * real.detach())


def sum_for_all(logits, real):
    return slope(logits, real).square().sum().expand(len(real))


def mean_for_all(logits, real):
    return per_picture(slope(logits, real)).mean().expand(len(real))


def nothing(logits, real):
    per_picture(slope(logits, real))


WRONG = [
    ("mean of the picture", reduced(lambda gradient: gradient.square().mean((1, 2, 3))), "the mean over a picture's values"),
    ("sum over the batch", reduced(lambda gradient: gradient.square().sum()), "one for each picture"),
    ("not squared", reduced(lambda gradient: gradient.flatten(1).norm(dim=1)), "this is the length, expected its square"),
    ("no create_graph", no_create_graph, "grad needs create_graph=True"),
    ("neither graph nor retain", neither, "grad needs create_graph=True"),
    ("mean of the logits", derived(torch.mean), "D's mean was differentiated"),
    ("mean over the batch", reduced(lambda gradient: per_picture(gradient).mean()), "one for each picture"),
    ("graph freed", graph_freed, "the graph is gone after the penalty"),
    ("backward", by_backward, "use torch.autograd.grad, not backward()"),
    ("backward alone", by_backward_alone, "use torch.autograd.grad, not backward()"),
    ("whole logits", whole_logits, "only one number can be differentiated"),
    ("a tuple", as_tuple, "take its first entry, [0]"),
    ("detach", detached, "no detach after it"),
    ("half detached", half_detached, "not the gradient for D's weights"),
    ("numbers", as_numbers, "expected a tensor"),
    ("no_grad", no_graph, "the graph is cut"),
    ("a copy of real", for_a_copy, "D has not seen"),
    ("a clone of real", for_a_clone, "D has not seen"),
    ("as WGAN-GP", reduced(lambda gradient: (gradient.flatten(1).norm(dim=1) - 1) ** 2), "is WGAN-GP's"),
    ("absolute values", reduced(lambda gradient: gradient.abs().sum((1, 2, 3))), "it sums absolute values"),
    ("sum before square", reduced(lambda gradient: gradient.sum((1, 2, 3)) ** 2), "before it is squared"),
    ("no square", reduced(lambda gradient: gradient.sum((1, 2, 3))), "its square is missing"),
    ("half", reduced(lambda gradient: per_picture(gradient) / 2), "gamma / 2 is the loop's business"),
    ("gamma 10", reduced(lambda gradient: 10 * per_picture(gradient)), "the weight 10 is inside"),
    ("gamma 10 / 2", reduced(lambda gradient: 10 / 2 * per_picture(gradient)), "the weight 5 is inside"),
    ("to the fourth", reduced(lambda gradient: per_picture(gradient).square()), "it is squared twice"),
    ("largest", reduced(lambda gradient: gradient.square().amax((1, 2, 3))), "only the largest entry"),
    ("sign", reduced(lambda gradient: -per_picture(gradient)), "the sign is wrong"),
    ("over channels", reduced(lambda gradient: gradient.square().sum(1)), "sum over all axes but the first"),
    ("over pixels", reduced(lambda gradient: gradient.square().sum((2, 3))), "sum over all axes but the first"),
    ("no sum", reduced(torch.square), "the sum over axes 1, 2, 3 is missing"),
    ("gradient itself", reduced(lambda gradient: gradient), "the sum over axes 1, 2, 3 is missing"),
    ("keepdim", reduced(lambda gradient: gradient.square().sum((1, 2, 3), keepdim=True)), "no keepdim"),
    ("[N, 1]", reduced(lambda gradient: per_picture(gradient)[:, None]), "no keepdim"),
    ("[N, N]", times_batch, "became [N, N]"),
    ("times pictures", times_pictures, "multiplied by the pictures"),
    ("softplus of -logits", derived(lambda logits: F.softplus(-logits)), "softplus(-logits) was differentiated"),
    ("softplus of logits", derived(F.softplus), "softplus(logits) was differentiated"),
    ("sigmoid", derived(torch.sigmoid), "through a sigmoid first"),
    ("squared logits", derived(torch.square), "the squared logits were differentiated"),
    ("sum of the batch for each", sum_for_all, "every picture gets the sum of the whole batch"),
    ("mean of the batch for each", mean_for_all, "every picture gets the mean of the whole batch"),
    ("over N", lambda logits, real: per_picture(slope(logits, real)) / len(real), "it divides by the number of pictures"),
    ("no return", nothing, "return statement missing"),
]


def by_grad_outputs(logits, real):
    ones = torch.ones_like(logits)
    gradient = torch.autograd.grad(outputs=logits, inputs=real, grad_outputs=ones, create_graph=True, retain_graph=True)[0]
    return gradient.pow(2).reshape(gradient.shape[0], -1).sum(1)


def by_norm(logits, real):
    return slope(logits, real).flatten(1).norm(2, dim=1) ** 2


def by_einsum(logits, real):
    gradient = slope(logits, real)
    return torch.einsum("nchw,nchw->n", gradient, gradient)


def by_loop(logits, real):
    rows = [torch.autograd.grad(logit.sum(), real, create_graph=True)[0][i] for i, logit in enumerate(logits)]
    return torch.stack([(row * row).sum() for row in rows])


RIGHT = [
    ("sum", derived(lambda logits: logits)),
    ("grad_outputs", by_grad_outputs),
    ("norm", by_norm),
    ("einsum", by_einsum),
    ("loop", by_loop),
]

"""pixel_norm(z, eps=1e-8): wrong and right solutions."""

import torch
import torch.nn.functional as F


def over_the_batch(z, eps=1e-8):
    return z / torch.sqrt(z.pow(2).mean(dim=0, keepdim=True) + eps)


def over_everything(z, eps=1e-8):
    return z / torch.sqrt(z.pow(2).mean() + eps)


def without_eps(z, eps=1e-8):
    return z / z.square().mean(1, keepdim=True).sqrt()


def length_one(z, eps=1e-8):
    return F.normalize(z, dim=1)


def by_norm(z, eps=1e-8):
    return z / (z.norm(dim=1, keepdim=True) + eps)


def by_norm_of_everything(z, eps=1e-8):
    return z / (z.norm() + eps)


def no_root(z, eps=1e-8):
    return z / (z.square().mean(1, keepdim=True) + eps)


def sum_without_root(z, eps=1e-8):
    return z / (z.square().sum(1, keepdim=True) + eps)


def multiplied(z, eps=1e-8):
    return z * (z.square().mean(1, keepdim=True) + eps).sqrt()


def divided_by_rsqrt(z, eps=1e-8):
    return z / (z.square().mean(1, keepdim=True) + eps).rsqrt()


def without_keepdim(z, eps=1e-8):
    return z / (z.square().mean(1) + eps).sqrt()


def layer_norm(z, eps=1e-8):
    return F.layer_norm(z, z.shape[1:])


def batch_norm(z, eps=1e-8):
    return (z - z.mean(0)) / (z.std(0, correction=0) + eps)


def standard_deviation(z, eps=1e-8):
    return z / (z.std(1, keepdim=True) + eps)


def biased_standard_deviation(z, eps=1e-8):
    return z / (z.var(1, correction=0, keepdim=True) + eps).sqrt()


def mean_absolute(z, eps=1e-8):
    return z / (z.abs().mean(1, keepdim=True) + eps)


def largest(z, eps=1e-8):
    return z / (z.abs().amax(1, keepdim=True) + eps)


def root_before_mean(z, eps=1e-8):
    return z / (z.square() + eps).sqrt()


def large_eps(z, eps=0.01):
    return z / (z.square().mean(1, keepdim=True) + 0.01).sqrt()


def in_place(z, eps=1e-8):
    z /= (z.square().mean(1, keepdim=True) + eps).sqrt()
    return z


def cut(z, eps=1e-8):
    return z / (z.detach().square().mean(1, keepdim=True) + eps).sqrt()


def no_graph(z, eps=1e-8):
    with torch.no_grad():
        return z * (z.square().mean(1, keepdim=True) + eps).rsqrt()


def unchanged(z, eps=1e-8):
    return z


def only_the_size(z, eps=1e-8):
    return (z.square().mean(1, keepdim=True) + eps).sqrt()


def eps_by_another_name(z, epsilon=1e-8):
    return z * (z.square().mean(1, keepdim=True) + epsilon).rsqrt()


def nothing(z, eps=1e-8):
    z * (z.square().mean(1, keepdim=True) + eps).rsqrt()


WRONG = [
    ("over the batch", over_the_batch, "the mean runs over the batch (dim=0)"),
    ("over everything", over_everything, "one number for the whole batch"),
    ("no eps", without_eps, "add eps under the root"),
    ("F.normalize", length_one, "rows get length 1"),
    ("norm", by_norm, "rows get length 1"),
    ("norm of everything", by_norm_of_everything, "the whole batch gets length 1"),
    ("no root", no_root, "the root is missing"),
    ("sum of squares", sum_without_root, "it divides by the sum of squares"),
    ("multiplied", multiplied, "it multiplies by the root mean square"),
    ("divided by rsqrt", divided_by_rsqrt, "it multiplies by the root mean square"),
    ("no keepdim", without_keepdim, "keepdim=True is missing"),
    ("layer norm", layer_norm, "the mean is subtracted, too"),
    ("batch norm", batch_norm, "this is batch norm"),
    ("standard deviation", standard_deviation, "the standard deviation"),
    ("biased standard deviation", biased_standard_deviation, "the root of the variance"),
    ("mean absolute value", mean_absolute, "the mean absolute value"),
    ("largest", largest, "the largest entry"),
    ("root first", root_before_mean, "first the mean, then the root"),
    ("large eps", large_eps, "with eps 1e-8"),
    ("in place", in_place, "it changed z itself"),
    ("detach", cut, "not the gradient for z"),
    ("no_grad", no_graph, "no gradient flows back"),
    ("unchanged", unchanged, "z came back as it was"),
    ("only the size", only_the_size, "expected the same"),
    ("another name", eps_by_another_name, "check the signature"),
    ("no return", nothing, "return statement missing"),
]


def by_rsqrt(z, eps=1e-8):
    return z * torch.rsqrt(torch.mean(z**2, dim=1, keepdim=True) + eps)


def by_sqrt(z, eps=1e-8):
    return z / (z.square().mean(-1, keepdim=True) + eps).sqrt()


def eps_beside_the_root(z, eps=1e-8):
    return z / (z.pow(2).mean(dim=1)[:, None] ** 0.5 + eps)


def by_normalize(z, eps=1e-8):
    return F.normalize(z, dim=1, eps=eps) * z.shape[1] ** 0.5


def by_rms_norm(z, eps=1e-8):
    return F.rms_norm(z, z.shape[1:], eps=eps)


def by_einsum(z, eps=1e-8):
    return z / (torch.einsum("nc,nc->n", z, z) / z.size(1) + eps).sqrt().unsqueeze(1)


RIGHT = [
    ("rsqrt", by_rsqrt),
    ("sqrt", by_sqrt),
    ("eps beside the root", eps_beside_the_root),
    ("normalize", by_normalize),
    ("rms_norm", by_rms_norm),
    ("einsum", by_einsum),
]

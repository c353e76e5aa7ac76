"""pixel_norm(z, eps=1e-8): more wrong solutions, and right ones that are written in other ways."""

import torch
import torch.nn.functional as F

from exercises.stylegan.pixel_norm import rms


def in_place(z, eps=1e-8):
    z /= rms(z)
    return z


def no_graph(z, eps=1e-8):
    with torch.no_grad():
        return z * (z.square().mean(1, keepdim=True) + eps).rsqrt()


def row_by_row(z, eps=1e-8):
    return torch.stack([row / (row.dot(row) / len(row) + eps) ** 0.5 for row in z])


def squeezed(z, eps=1e-8):
    return (z / rms(z)).squeeze()


RIGHT = [
    ("rsqrt", lambda z, eps=1e-8: z * torch.rsqrt(torch.mean(z**2, dim=1, keepdim=True) + eps)),
    ("sqrt", lambda z, eps=1e-8: z / (z.square().mean(-1, keepdim=True) + eps).sqrt()),
    ("eps beside the root", lambda z, eps=1e-8: z / (z.pow(2).mean(dim=1)[:, None] ** 0.5 + eps)),
    ("normalize", lambda z, eps=1e-8: F.normalize(z, dim=1, eps=eps) * z.shape[1] ** 0.5),
    ("rms_norm", lambda z, eps=1e-8: F.rms_norm(z, z.shape[1:], eps=eps)),
    ("einsum", lambda z, eps=1e-8: z / (torch.einsum("nc,nc->n", z, z) / z.size(1) + eps).sqrt().unsqueeze(1)),
    ("row by row", row_by_row),
    ("by its direction", lambda z, eps=1e-8: F.cosine_similarity(z[:, None], torch.eye(z.shape[1]), 2) * z.shape[1] ** 0.5),
]
WRONG = [
    ("in place", in_place, "changed z in place"),
    ("only the size", lambda z, eps=1e-8: rms(z), "expected the same"),
    ("another name", lambda z, epsilon=1e-8: z / rms(z), "check the signature"),
    ("no return", lambda z, eps=1e-8: None, "return statement missing"),
    ("no_grad", no_graph, "not this gradient"),
    ("in place on a view", lambda z, eps=1e-8: in_place(z.view(z.shape)), "changed z in place"),
    ("squeezed, one row", squeezed, "expected the same"),
    ("mean of everything, rows", lambda z, eps=1e-8: z / (z.square().mean() + eps).sqrt(), "one number for the whole batch"),
    ("root of N", lambda z, eps=1e-8: F.normalize(z) * z.shape[0] ** 0.5, "the number of rows"),
    ("eps of 1e-3", lambda z, eps=1e-3: z / rms(z, eps=eps), "with eps 1e-8"),
    ("a list of rows", lambda z, eps=1e-8: list(z / rms(z)), "expected a tensor"),
    ("numpy", lambda z, eps=1e-8: (z / rms(z)).detach().numpy(), "expected a tensor"),
]

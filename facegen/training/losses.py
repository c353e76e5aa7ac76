"""Adversarial losses and penalties as pure functions, logits (and gradients) -> one number, and CycleGAN's losses on pictures.

`real_logits` and `fake_logits` are D's outputs of any shape, one value per image or patch; every loss is a mean in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.files import InputError

SMOOTH_TARGET = 0.9  # one-sided label smoothing (Salimans et al. 2016, section 3.4)


def real_loss(logits: Tensor, smooth: bool = False) -> Tensor:
    """Binary cross-entropy of "these are real": -mean log sigmoid(logits), or against the target 0.9 if `smooth`."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, SMOOTH_TARGET if smooth else 1.0))


def fake_loss(logits: Tensor) -> Tensor:
    """Binary cross-entropy of "these are fake": -mean log(1 - sigmoid(logits))."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.zeros_like(logits))


class AdversarialLoss(NamedTuple):
    """A matching pair of losses.

    `d_real(real_logits)` + `d_fake(fake_logits)` is what D minimises and `g(fake_logits)` what G minimises; a relativistic
    loss compares the two sorts of logits instead, so it has only `d_pair(real_logits, fake_logits)` and
    `g_pair(real_logits, fake_logits)`.
    """

    d_real: Callable[[Tensor], Tensor] | None = None
    d_fake: Callable[[Tensor], Tensor] | None = None
    g: Callable[[Tensor], Tensor] | None = None
    d_pair: Callable[[Tensor, Tensor], Tensor] | None = None
    g_pair: Callable[[Tensor, Tensor], Tensor] | None = None


def _bce(smooth: bool) -> AdversarialLoss:
    # Goodfellow et al. 2014 (arXiv:1406.2661) with the non-saturating G loss: G wants its fakes called real.
    return AdversarialLoss(lambda real: real_loss(real, smooth), fake_loss, real_loss)


def _lsgan(smooth: bool) -> AdversarialLoss:
    # Mao et al. 2017 (arXiv:1611.04076): squared distance to the targets 1 and 0.
    target = SMOOTH_TARGET if smooth else 1.0
    return AdversarialLoss(
        lambda real: (real.float() - target).square().mean(),
        lambda fake: fake.float().square().mean(),
        lambda fake: (fake.float() - 1).square().mean(),
    )


def _hinge(smooth: bool) -> AdversarialLoss:
    # Lim and Ye 2017 (arXiv:1705.02894): logits beyond the margin of 1 cost nothing.
    return AdversarialLoss(
        lambda real: F.relu(1 - real.float()).mean(),
        lambda fake: F.relu(1 + fake.float()).mean(),
        lambda fake: -fake.float().mean(),
    )


def _wgan(smooth: bool) -> AdversarialLoss:
    # Arjovsky et al. 2017 (arXiv:1701.07875): the critic's mean difference estimates a Wasserstein distance if the
    # critic is 1-Lipschitz, which clipping (`wgan`) or a gradient penalty (`wgan-gp`) has to see to.
    return AdversarialLoss(
        lambda real: -real.float().mean(), lambda fake: fake.float().mean(), lambda fake: -fake.float().mean()
    )


def _relativistic(smooth: bool) -> AdversarialLoss:
    # Relativistic pairing (Jolicoeur-Martineau 2018, arXiv:1807.00734; with R1 + R2, Huang et al. 2024, arXiv:2501.05441):
    # each fake is judged against a real of the same batch, so D cannot win by pushing all logits one way.
    return AdversarialLoss(
        d_pair=lambda real, fake: F.softplus(fake.float() - real.float()).mean(),
        g_pair=lambda real, fake: F.softplus(real.float() - fake.float()).mean(),
    )


LOSSES = {"bce": _bce, "lsgan": _lsgan, "hinge": _hinge, "wgan": _wgan, "wgan-gp": _wgan, "relativistic": _relativistic}


def adversarial_loss(name: str, smooth: bool = False) -> AdversarialLoss:
    """The pair of losses called `name`, with one-sided label smoothing where it is defined (bce, lsgan).

    Raises:
        InputError: an unknown name, or smoothing for a loss that has no target to smooth.
    """
    if name not in LOSSES:
        raise InputError(f"--loss={name} is not known: choose one of {', '.join(LOSSES)}")
    if smooth and name not in ("bce", "lsgan"):
        raise InputError(f"label smoothing (--smooth) needs a loss with targets (bce, lsgan), not {name}: leave it off")
    return LOSSES[name](smooth)


# The names under which the published CycleGAN knows its losses, and ours. A mean over a map of logits needs no other formula.
PATCH_LOSSES = {"lsgan": "lsgan", "vanilla": "bce", "wgangp": "wgan-gp"}


def patch_loss(name: str) -> AdversarialLoss:
    """The adversarial loss of a CycleGAN by its published name, on maps of patch logits [N, 1, H', W'].

    With y for the logits of real and x for those of fake pictures, D minimises (half of) and G minimises:

    - "lsgan":   mean (y - 1)^2 + mean x^2,                           mean (x - 1)^2  (Zhu et al. 2017, section 4)
    - "vanilla": -mean log sigmoid(y) - mean log(1 - sigmoid(x)),     -mean log sigmoid(x)
    - "wgangp":  -mean y + mean x, and a gradient penalty beside it,  -mean x

    Raises:
        InputError: an unknown name.
    """
    if name not in PATCH_LOSSES:
        raise InputError(f"--loss={name} is not known: choose one of {', '.join(PATCH_LOSSES)}")
    return adversarial_loss(PATCH_LOSSES[name])


def cycle_loss(x: Tensor, reconstructed: Tensor) -> Tensor:
    """mean |G_B(G_A(x)) - x|: how far there and back again ends from where it began (Zhu et al. 2017, eq. 2, one direction).

    Args:
        x: pictures [N, 3, H, W] in [-1, 1].
        reconstructed: the same pictures after both generators, of the same shape.

    Returns:
        A scalar in float32: 0 for a perfect return, at most 2. The caller multiplies by lambda.

    Raises:
        InputError: the shapes differ.
    """
    return _mean_absolute_difference(x, reconstructed)


def identity_loss(y: Tensor, same: Tensor) -> Tensor:
    """mean |G_A(y) - y| for y that already is in the domain that G_A paints (Zhu et al. 2017, section 5.2).

    It asks the generator to leave alone what needs no change, which above all keeps colours.

    Args:
        y: pictures [N, 3, H, W] in [-1, 1] of the generator's target domain.
        same: what the generator made of them, of the same shape.

    Returns:
        A scalar in float32. The caller multiplies by lambda and by the identity weight, 0.5 in the paper.

    Raises:
        InputError: the shapes differ.
    """
    return _mean_absolute_difference(y, same)


def _mean_absolute_difference(x: Tensor, y: Tensor) -> Tensor:
    if x.shape != y.shape:  # broadcasting would hide it
        raise InputError(
            f"pictures of shape {list(x.shape)} became {list(y.shape)}: both must be equal, so choose sides that the "
            "generators keep (multiples of 4)"
        )
    return (y.float() - x.float()).abs().mean()


def gradient_penalty(D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """WGAN-GP's penalty: mean (||grad_x D(x)||_2 - 1)^2 at random points between real and fake (Gulrajani et al. 2017, eq. 3).

    Args:
        D: the critic; it must treat the images of a batch independently (no batch norm), or the gradient mixes them.
        real, fake: pictures [N, 3, H, W]; one interpolation weight is drawn per pair, uniform in [0, 1].

    Returns:
        The unweighted penalty, a scalar that can be differentiated with respect to D's weights.
    """
    mix = torch.rand(len(real), 1, 1, 1, device=real.device, dtype=real.dtype)
    x = (mix * real.detach() + (1 - mix) * fake.detach()).requires_grad_(True)
    (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)  # [N, 3, H, W]
    return (gradient.flatten(1).norm(2, dim=1) - 1).square().mean()


def squared_gradients(logits: Tensor, pictures: Tensor) -> Tensor:
    """|grad_x D(x)|^2 of each picture [N], with a graph: R1 for real and R2 for fake ones (Mescheder et al. 2018, eq. 9)."""
    (gradient,) = torch.autograd.grad(logits.sum(), pictures, create_graph=True)
    return gradient.square().sum((1, 2, 3))


def zero_centred_penalty(D: nn.Module, x: Tensor) -> Tensor:
    """mean ||grad_x D(x)||^2: R1 if x is real, R2 if it is fake (Mescheder et al. 2018, arXiv:1801.04406, eq. 9 and 10).

    The caller multiplies by gamma / 2. x: pictures [N, 3, H, W].
    """
    x = x.detach().requires_grad_(True)
    return squared_gradients(D(x), x).mean()


def path_lengths(pictures: Tensor, ws: Tensor, noise: Tensor) -> Tensor:
    """How much pictures change with their styles: sqrt(mean over layers of |J^T y|^2) (Karras et al. 2020, eq. 4, section 3.2).

    Args:
        pictures: [N, 3, H, W], a function of ws.
        ws: [N, num_ws, w_dim], with a graph to the pictures.
        noise: y, [N, 3, H, W] from N(0, 1).

    Returns:
        [N], with a graph, in units of one pixel's root mean square change.
    """
    scaled = noise / math.sqrt(pictures.shape[2] * pictures.shape[3])
    (gradient,) = torch.autograd.grad((pictures * scaled).sum(), ws, create_graph=True)
    return gradient.square().sum(2).mean(1).sqrt()

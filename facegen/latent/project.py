"""Finding a picture in a generator's latent space: projection into W and W+, and pivotal tuning.

result = project(G, target, perceptual=load_perceptual("auto"), space="w+")
result.image                     # uint8 [3, H, W]
save_latents("projected_w.npz", result.ws)   # as the tools that the published weights came with read it

A projection starts from the average face and moves w down the slope of a distance between the generated picture and the
target (Karras et al. 2020, arXiv:1912.04958, appendix D). In "w" one w serves all layers; in "w+" each layer has its own
(Abdal et al. 2019, arXiv:1904.03189), which comes nearer to the target and further from what G was trained to make; "pti"
finds a w and then tunes G's weights around it (Roich et al. 2021, arXiv:2106.05744).
"""

from __future__ import annotations

import copy
import dataclasses
import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from facegen.data.kinds import seems
from facegen.data.packed import to_pixels
from facegen.files import InputError, replacing
from facegen.latent.edit import sampled_w
from facegen.latent.sample import has_styles, one_hot

SPACES = ("w", "w+", "pti")
LARGEST = 256  # pixels of a side at which pictures are compared: larger ones are averaged down, as VGG's features want it

# Pictures [N, 3, H, W] in [-1, 1] -> rows [N, d] whose squared distance is a perceptual distance.
Perceptual = Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Search:
    """How a projection searches.

    The course is the paper's. Unlike there, w moves along the principal axes of the model's own w, each in its standard
    deviations: on 64 pixels 250 such steps find a generated face to about 39 dB, where steps of w itself have 25.

    Attributes:
        space: "w", "w+" or "pti".
        steps: of the search for w.
        tune_steps: of the tuning of G's weights ("pti").
        lr: largest learning rate of w, in standard deviations along each axis.
        tune_lr: learning rate of G's weights.
        rampup, rampdown: shares of the steps in which the rate rises from 0, and falls to 0.
        noise: of the random shifts of w at the start, in standard deviations along each axis.
        noise_ramp: share of the steps after which there are none.
        learn_noise: also search for StyleGAN2's noise buffers (appendix D). Without it they stay the network's own, and ws
            alone make the picture again, in this package and in others. With it pictures come out sharper, and only the
            result's G makes them.
        regularize: weight of the penalty on learned noise buffers that carry structure.
        pixels: weight of the mean squared error of the pixels.
        apart: weight that holds the layers' w together ("w+"), in variances of w.
        patience: stop after so many steps without a better picture; 0 makes all steps.
        seed: of the latent statistics and the shifts.
    """

    space: str = "w+"
    steps: int = 500
    tune_steps: int = 250
    lr: float = 0.1
    tune_lr: float = 3e-4
    rampup: float = 0.05
    rampdown: float = 0.25
    noise: float = 0.05
    noise_ramp: float = 0.75
    learn_noise: bool = False
    regularize: float = 1e5
    pixels: float = 10.0
    apart: float = 0.0
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if self.space not in SPACES:
            raise InputError(f"space={self.space!r} is not known: choose one of {', '.join(SPACES)}")
        if self.steps < 1 or self.tune_steps < 1 or self.patience < 0:
            raise InputError(f"steps={self.steps}, tune_steps={self.tune_steps}, patience={self.patience}: steps begin at 1")
        for name in ("lr", "tune_lr"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}={getattr(self, name)}: a learning rate is more than 0")
        for name in ("rampup", "rampdown", "noise_ramp"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}={getattr(self, name)}: a share of the steps lies between 0 and 1")


@dataclasses.dataclass(frozen=True)
class LatentStats:
    """Where w lies.

    Attributes:
        mean: [w_dim].
        std: the root mean square distance from it, one number for the whole vector.
        axes: [w_dim, w_dim], one row for each principal axis, as long as the standard deviation along it, and at least a
            tenth of `coordinate`: w = mean + v @ axes has v about N(0, 1) in every coordinate.
    """

    mean: Tensor
    std: float
    axes: Tensor

    @property
    def coordinate(self) -> float:
        """Standard deviation of one coordinate, if all were alike."""
        return self.std / math.sqrt(len(self.mean))


@dataclasses.dataclass(frozen=True)
class Projection:
    """What a search found.

    Attributes:
        ws: [1, num_ws, w_dim] of the best picture.
        image: its pixels, uint8 [3, H, W].
        target: uint8 [3, H, W].
        trajectory: ws at each kept step, [K, num_ws, w_dim].
        frames: the pictures of these, uint8 [K, 3, H, W]; pti's last ones have the same ws and other weights.
        history: per step: step, phase ("search" or "tune"), loss, perceptual, pixels, lr.
        stats: of the model's w.
        G: the generator that makes `image` from `ws` with noise_mode "const": a copy with the noise buffers that were found
            and, for "pti", with tuned weights.
    """

    ws: Tensor
    image: Tensor
    target: Tensor
    trajectory: Tensor
    frames: Tensor
    history: list[dict[str, float | str]]
    stats: LatentStats
    G: nn.Module


# ------------------------------------------------------------------------------------------------------ the pieces


@torch.no_grad()
def latent_stats(G: nn.Module, count: int = 10_000, seed: int = 0, labels: int | None = None) -> LatentStats:
    """Mean and spread of w over `count` random z (appendix D of the paper)."""
    if not has_styles(G):
        raise InputError("this generator has no mapping network and so no w to project into: take a StyleGAN2 or StyleGAN3")
    where = next(G.parameters()).device
    w = sampled_w(G, count, seed, labels).to(where)
    mean = w.mean(0)
    std = float((w - mean).square().sum(1).mean().sqrt())
    # In float64 on the CPU: the same on every device.
    spread, axes = torch.linalg.eigh((w - mean).double().cpu().T.cov(correction=0))
    lengths = spread.clamp_min(0).sqrt().clamp_min(0.1 * std / math.sqrt(len(mean)))
    return LatentStats(mean, std, (lengths[:, None] * axes.T).float().to(where))


def learning_rate(progress: float, lr: float, rampup: float = 0.05, rampdown: float = 0.25) -> float:
    """The rate at `progress` (0 at the first step, 1 behind the last): linear rise, plateau, cosine fall (appendix D)."""
    down = min(1.0, (1.0 - progress) / rampdown) if rampdown else 1.0
    up = min(1.0, progress / rampup) if rampup else 1.0
    return lr * (0.5 - 0.5 * math.cos(math.pi * down)) * up


def shift_size(progress: float, std: float, noise: float = 0.05, ramp: float = 0.75) -> float:
    """Standard deviation of the random shift of w: noise * std, falling quadratically to 0 at `ramp` (appendix D)."""
    return noise * std * max(0.0, 1.0 - progress / ramp) ** 2 if ramp else 0.0


def noise_penalty(buffer: Tensor) -> Tensor:
    """How much a noise buffer [S, S] looks like a picture: squared correlation with its neighbours, on all scales.

    White noise has none, a buffer into which the target is being drawn has much. The buffer is halved by means of 2 x 2
    until 8 x 8 is left; the sum over the scales of mean(n(x, y) n(x - 1, y))^2 + mean(n(x, y) n(x, y - 1))^2 (appendix D).
    """
    n, total = buffer[None, None], buffer.new_zeros(())
    while True:
        total = total + (n * n.roll(1, 3)).mean().square() + (n * n.roll(1, 2)).mean().square()
        if n.shape[2] <= 8:
            return total
        n = F.avg_pool2d(n, 2)


@torch.no_grad()
def normalise_noise(buffers: list[Tensor]) -> None:
    """Give each buffer mean 0 and variance 1 again, in place: what it adds is decided by G's strengths alone."""
    for buffer in buffers:
        buffer.sub_(buffer.mean())
        buffer.mul_(buffer.square().mean().rsqrt())


def face_mask(size: int) -> Tensor:
    """Weights [1, size, size] of an FFHQ-framed picture: 1 on the face, falling smoothly to 0.1 in the corners.

    An ellipse around the middle of the face, slightly below the picture's: hair, neck and background say little about who
    it is, and a model that has never seen that background would spend its w on it.
    """
    y, x = torch.meshgrid(*[(torch.arange(size) + 0.5) / size] * 2, indexing="ij")
    radius = (((x - 0.5) / 0.38) ** 2 + ((y - 0.55) / 0.46) ** 2).sqrt()
    return (0.1 + 0.9 * torch.sigmoid((1 - radius) / 0.1))[None]


# ------------------------------------------------------------------------------------------------------- the search


def project(
    G: nn.Module,
    target: Tensor,
    *,
    perceptual: Perceptual,
    search: Search = Search(),
    mask: Tensor | None = None,
    start: Tensor | None = None,
    labels: int | None = None,
    keep_every: int = 10,
    dtype: torch.dtype | None = None,
    progress: bool | None = None,
) -> Projection:
    """Find the w whose picture is nearest to a target. G itself and PyTorch's random state stay as they are.

    Args:
        G: a StyleGAN2 or StyleGAN3, on the device where to search.
        target: uint8 [3, H, W] of G's own size, framed as G's training pictures.
        perceptual: pictures in [-1, 1] -> rows whose squared distance is minimised.
        search: how.
        mask: weights [1, H, W] from 0 to 1: where the picture matters, such as `face_mask`; None: everywhere.
        start: ws [1, num_ws, w_dim] to begin with instead of the mean, such as an earlier projection.
        labels: class of a conditional model.
        keep_every: steps between two frames of the trajectory.
        dtype: of G's half-precision layers while searching; the result's picture is made in float32.
        progress: True or False shows or hides a progress bar; None shows it on a terminal.

    Raises:
        InputError: a generator without w, a target of another size, or a mask or start that does not fit.
    """
    stats = latent_stats(G, seed=search.seed, labels=labels)
    where = next(G.parameters()).device
    _check(G, target, mask, start)
    own = copy.deepcopy(G).eval().requires_grad_(False)
    task = _Task(own, target.to(where), perceptual, search, None if mask is None else mask.to(where), stats, dtype)
    ws = (stats.mean.expand(1, G.num_ws, -1) if start is None else start.to(where).float()).clone()
    total = search.steps + (search.tune_steps if search.space == "pti" else 0)
    with tqdm(total=total, unit="step", desc="project", disable=None if progress is None else not progress) as bar:
        ws = _find(task, ws, keep_every, bar)
        if search.space == "pti":
            _tune(task, ws, keep_every, bar)
    with torch.no_grad():
        image = to_pixels(own.synthesis(ws, noise_mode="const"))[0]
    return Projection(ws.cpu(), image, target.cpu(), torch.cat(task.kept), torch.stack(task.frames), task.history, stats, own)


def check_projectable(G: nn.Module, name: str, labels: int | None = None) -> None:
    """Refuse, before the work, a generator that nothing can be projected into."""
    if not has_styles(G):
        raise InputError(f"{name}: this generator has no w to project into: give a StyleGAN2 or a StyleGAN3")
    if G.img_channels != 3:
        raise InputError(f"{name}: its pictures have {G.img_channels} channels: only colour can be projected")
    one_hot(G, labels, 1)


def _check(G: nn.Module, target: Tensor, mask: Tensor | None, start: Tensor | None) -> None:
    size = G.img_resolution
    if target.dtype != torch.uint8 or tuple(target.shape) != (3, size, size):
        raise InputError(f"the target is {target.dtype} {list(target.shape)}, the model wants uint8 [3, {size}, {size}]")
    if mask is not None and tuple(mask.shape) != (1, size, size):
        raise InputError(f"the mask is {list(mask.shape)}, the model's pictures want [1, {size}, {size}]")
    if start is not None and tuple(start.shape) != (1, G.num_ws, G.w_dim):
        raise InputError(f"the start is {list(start.shape)}, the model's ws are [1, {G.num_ws}, {G.w_dim}]")


class _Task:
    """Target, distance and record of one projection."""

    def __init__(
        self,
        G: nn.Module,
        target: Tensor,
        perceptual: Perceptual,
        search: Search,
        mask: Tensor | None,
        stats: LatentStats,
        dtype: torch.dtype | None,
    ) -> None:
        self.G, self.search, self.stats, self.dtype, self.perceptual = G, search, stats, dtype, perceptual
        full = target[None].float() / 127.5 - 1
        self.bounds = torch.where(full <= -1, -1.0, -math.inf), torch.where(full >= 1, 1.0, math.inf)
        self.target = self._small(full)
        self.mask = torch.ones_like(self.target[:, :1]) if mask is None else self._small(mask[None].float())
        with torch.no_grad():
            self.features = perceptual(self.target)  # once, not once per step
        self.kept: list[Tensor] = []
        self.frames: list[Tensor] = []
        self.history: list[dict[str, float | str]] = []

    @staticmethod
    def _small(pictures: Tensor) -> Tensor:
        return F.interpolate(pictures, LARGEST, mode="area") if pictures.shape[3] > LARGEST else pictures

    def distance(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is minimised, and its two parts: perceptual distance, and the pixels' mean squared error in [-1, 1]."""
        # G also draws beyond white and black, which 8 bits cut off: where the target is white, whiter than white is right.
        small = self._small(torch.clamp(pictures.float(), *self.bounds))
        # Where the mask is 0, the perceptual network sees the target itself.
        seen = self.target.lerp(small, self.mask)
        perceptual = (self.perceptual(seen) - self.features).square().sum()
        pixels = ((small - self.target).square() * self.mask).sum() / (3 * self.mask.sum())
        return perceptual + self.search.pixels * pixels, perceptual.detach(), pixels.detach()

    def note(self, step: int, phase: str, values: dict[str, float], ws: Tensor, pictures: Tensor, keep: bool) -> None:
        self.history.append({"step": step, "phase": phase, **values})
        if keep:
            self.kept.append(ws.detach().float().cpu().clone())
            self.frames.append(to_pixels(pictures.detach().float())[0])


def _noise_buffers(G: nn.Module) -> list[Tensor]:
    """StyleGAN2's constant noise inputs, in the order of the layers; none in a StyleGAN3."""
    return [buffer for name, buffer in G.synthesis.named_buffers() if name.endswith("noise_const")]


def _find(task: _Task, ws: Tensor, keep_every: int, bar: tqdm) -> Tensor:
    """Search for w; returns the best ws [1, num_ws, w_dim], and leaves the best noise in G's buffers."""
    search, G, stats = task.search, task.G, task.stats
    draws = torch.Generator().manual_seed(search.seed)
    first = ws if search.space == "w+" else ws.mean(1, keepdim=True)
    free = torch.zeros_like(first).requires_grad_()  # along the axes of w, in standard deviations
    # From the network's own buffers: random ones hide the target's w behind their own differences.
    buffers = [buffer.requires_grad_() for buffer in _noise_buffers(G)] if search.learn_noise else []
    groups = [{"params": [free], "scale": 1.0}, {"params": buffers, "scale": 0.5}]
    optimizer = torch.optim.Adam([group for group in groups if group["params"]], lr=search.lr, betas=(0.9, 0.999))
    best, since = None, 0
    for step in range(search.steps):
        progress = step / search.steps
        rate = learning_rate(progress, search.lr, search.rampup, search.rampdown)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        size = shift_size(progress, 1.0, search.noise, search.noise_ramp)
        shifted = first + (free + size * torch.randn(free.shape, generator=draws).to(free.device)) @ stats.axes
        pictures = G.synthesis(shifted.expand(-1, G.num_ws, -1), noise_mode="const", dtype=task.dtype)
        loss, perceptual, pixels = task.distance(pictures)
        total = loss + search.regularize * sum(noise_penalty(buffer) for buffer in buffers)
        if search.space == "w+" and search.apart:
            total = total + search.apart * (shifted - shifted.mean(1, keepdim=True)).square().mean() / stats.coordinate**2
        values = {"loss": float(loss.detach()), "perceptual": float(perceptual), "pixels": float(pixels), "lr": rate}
        better = best is None or values["loss"] < best[0]
        if better:  # of what was drawn: with its shift, and with the buffers before they move
            best = values["loss"], shifted.detach().clone(), [buffer.detach().clone() for buffer in buffers]
        since = 0 if better else since + 1
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        task.note(step, "search", values, shifted.expand(-1, G.num_ws, -1), pictures, step % keep_every == 0)
        normalise_noise(buffers)
        bar.update()
        bar.set_postfix_str(f"distance {values['loss']:.3f}", refresh=False)
        if search.patience and since >= search.patience:
            break
    _, found, noise = best
    for buffer, kept in zip(buffers, noise):
        buffer.requires_grad_(False).copy_(kept)
    return found.expand(-1, G.num_ws, -1).clone()


def _tune(task: _Task, ws: Tensor, keep_every: int, bar: tqdm) -> None:
    """Pivotal tuning: with w fixed, let the synthesis network's weights come the rest of the way."""
    search, G = task.search, task.G
    weights = [p.requires_grad_() for p in G.synthesis.parameters()]
    optimizer = torch.optim.Adam(weights, lr=search.tune_lr)
    best, since, first = None, 0, len(task.history)
    for step in range(search.tune_steps):
        pictures = G.synthesis(ws, noise_mode="const", dtype=task.dtype)
        loss, perceptual, pixels = task.distance(pictures)
        values = {"loss": float(loss.detach()), "perceptual": float(perceptual), "pixels": float(pixels), "lr": search.tune_lr}
        if best is None or values["loss"] < best[0]:
            best, since = (values["loss"], [p.detach().clone() for p in weights]), 0
        else:
            since += 1
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        task.note(first + step, "tune", values, ws, pictures, step % keep_every == 0)
        bar.update()
        bar.set_postfix_str(f"distance {values['loss']:.3f}", refresh=False)
        if search.patience and since >= search.patience:
            break
    with torch.no_grad():
        for weight, kept in zip(weights, best[1]):
            weight.copy_(kept)
    G.requires_grad_(False)


# ------------------------------------------------------------------------------------------------------------ files


def save_latents(path: str | Path, ws: Tensor) -> None:
    """Write ws [N, num_ws, w_dim] as `w` of an .npz, as the tools that the published weights came with read it."""
    with replacing(Path(path)) as temporary, open(temporary, "wb") as file:
        np.savez(file, w=ws.detach().cpu().float().numpy())


def load_latents(path: str | Path, G: nn.Module | None = None) -> Tensor:
    """Read ws float32 [N, num_ws, w_dim] from an .npz; [N, w_dim] becomes the same w for all layers."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ws = torch.from_numpy(np.array(arrays["w"], dtype=np.float32))
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        why = f"{type(error).__name__}{seems(path)}"
        raise InputError(f"{path}: no latents (.npz with an array w) could be read: {why}") from None
    if ws.ndim == 2 and G is not None:
        ws = ws[:, None].expand(-1, G.num_ws, -1)
    fits = ws.ndim == 3 and (G is None or tuple(ws.shape[1:]) == (G.num_ws, G.w_dim))
    if not fits or not ws.isfinite().all():
        wanted = "[N, num_ws, w_dim]" if G is None else f"[N, {G.num_ws}, {G.w_dim}]"
        raise InputError(f"{path}: w is {list(ws.shape)}, wanted is {wanted} of finite numbers")
    return ws.contiguous()

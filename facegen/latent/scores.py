"""What a projection is worth, in numbers: how near the picture is, whose face it is, and how far the latent lies from usual.

scores = score(result, perceptual=see, embed=load_identity("drawn"), space="w+")
print(scores)
print(table([...]))                        # W -> W+ -> tuned: nearer to the target, and harder to edit
if warning := far_from_model(G, target, see).warning: ...
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.latent.project import SPACES, Perceptual, Projection, Search, project
from facegen.latent.sample import sample
from facegen.models.identity import LEAST_SIDE, identity_similarity

FAR_SIDE = 64  # pixels at which a target and the model's own pictures are compared
FAR_OWN = 0.95  # share of the model's own pictures that are nearer to another one than the usual reach
FAR_TIMES = 1.25  # a target is far from the model at so many times that reach


@dataclasses.dataclass(frozen=True)
class Scores:
    """Every number of one projection.

    Attributes:
        space: in which it was searched.
        perceptual: squared distance on the features of `perceptual_name`; 0 is the same picture.
        psnr: peak signal-to-noise ratio in dB: higher is nearer, 30 is hard to tell apart.
        identity: cosine of the two faces' embeddings by `identity_name`; None where none was asked for, or where pictures are
            too small for it.
        from_mean: distance of ws from the mean w, root mean square over the layers, in standard deviations of w: 1 is as
            far as the model's own faces are.
        apart: distance of the layers' w from their own mean, in the same units: 0 in W; the larger, the less will edits
            that were learned in W do what they should.
        tuned: relative change of the synthesis network's weights ("pti"), 0 elsewhere.
        masked: whether `perceptual` and `psnr` were weighed by a mask.
    """

    space: str
    perceptual: float
    perceptual_name: str
    psnr: float
    identity: float | None
    identity_name: str | None
    from_mean: float
    apart: float
    tuned: float
    masked: bool

    def __str__(self) -> str:
        return f"{self.space}: " + ", ".join(f"{title} {text}" for title, text in self._shown())

    def _shown(self) -> list[tuple[str, str]]:
        identity = "none" if self.identity is None else f"{self.identity:.3f}"
        return [
            ("PSNR", f"{self.psnr:.1f} dB"),
            (f"distance ({self.perceptual_name})", f"{self.perceptual:.3f}"),
            (f"identity ({self.identity_name or 'no embedding'})", identity),
            ("from the mean", f"{self.from_mean:.2f} sd"),
            ("layers apart", f"{self.apart:.2f} sd"),
            ("weights changed", f"{100 * self.tuned:.1f} %"),
        ]


def table(rows: Sequence[Scores]) -> str:
    """Projections of one target below each other, as text. The networks' names stand in the head."""
    heads = ["space", *(title for title, _ in rows[0]._shown())]
    lines = [heads, *([row.space, *(text for _, text in row._shown())] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths)) for line in lines)


@torch.no_grad()
def score(
    result: Projection,
    *,
    perceptual: Perceptual,
    space: str,
    embed: Callable[[Tensor], Tensor] | None = None,
    mask: Tensor | None = None,
    before: nn.Module | None = None,
) -> Scores:
    """The scores of a projection, from its pictures of 8 bits.

    Args:
        perceptual: the network to compare by; on any device.
        space: what to call it.
        embed: of faces, see `facegen.models.identity.load_identity`; None leaves identity out.
        mask: weights [1, H, W] by which the pictures were compared.
        before: the generator that the search began with, for the change of weights; None: not changed.
    """
    where = next(result.G.parameters()).device
    image, target = (picture[None].to(where).float() / 127.5 - 1 for picture in (result.image, result.target))
    weights = torch.ones_like(image[:, :1]) if mask is None else mask[None].to(image)
    mse = float(((image - target).square() * weights).sum() / (3 * weights.sum()))
    seen = target.lerp(image, weights)
    fits = embed is not None and min(image.shape[2:]) >= LEAST_SIDE
    w = result.ws.float() - result.stats.mean.cpu()
    return Scores(
        space=space,
        perceptual=float((perceptual(seen) - perceptual(target)).square().sum()),
        perceptual_name=str(getattr(perceptual, "name", "unnamed")),
        psnr=psnr(mse),
        identity=float(identity_similarity(embed, image, target)) if fits else None,
        identity_name=str(getattr(embed, "name", "unnamed")) if fits else None,
        from_mean=_spread(w, result.stats.std),
        apart=_spread(w - w.mean(1, keepdim=True), result.stats.std),
        tuned=0.0 if before is None else weight_change(before, result.G),
        masked=mask is not None,
    )


def psnr(mse: float) -> float:
    """dB of a mean squared error of pictures in [-1, 1]; at most 100, which stands for no error at all."""
    return min(100.0, -10 * math.log10(mse / 4)) if mse > 0 else 100.0


def _spread(w: Tensor, std: float) -> float:
    """Root mean square length over the layers of [1, num_ws, w_dim], in standard deviations."""
    return float(w.square().sum(2).mean().sqrt()) / std


def weight_change(before: nn.Module, after: nn.Module) -> float:
    """Length of the change of the synthesis network's weights, as a share of their length."""
    pairs = [(a.detach().cpu(), b.detach().cpu()) for a, b in zip(before.synthesis.parameters(), after.synthesis.parameters())]
    change = sum(float((a - b).square().sum()) for a, b in pairs)
    return math.sqrt(change / max(1e-20, sum(float(a.square().sum()) for a, _ in pairs)))


# --------------------------------------------------------------------------------------------------------------- ladder


def ladder(
    G: nn.Module,
    target: Tensor,
    spaces: Sequence[str] = SPACES,
    *,
    perceptual: Perceptual,
    search: Search | None = None,
    embed: Callable[[Tensor], Tensor] | None = None,
    mask: Tensor | None = None,
    labels: int | None = None,
    keep_every: int = 10,
    dtype: torch.dtype | None = None,
    progress: bool | None = None,
) -> tuple[dict[str, Projection], list[Scores]]:
    """W, then W+ from there, then pivotal tuning around the w of the first: what each step gains, and what it costs.

    With a single one of these spaces it is a plain projection and its scores.

    Returns:
        The projections by space, and their scores in the same order. See `project` for the arguments.
    """
    found: dict[str, Projection] = {}
    rows = []
    for space in spaces:
        own, start, begin = dataclasses.replace(search or Search(), space=space), None, G
        if found:
            start = found["w"].ws
        if space == "pti" and found:  # its w is known: one step that only draws it, then the tuning
            own, begin = dataclasses.replace(own, steps=1, noise=0.0, learn_noise=False), found["w"].G
        result = project(
            begin,
            target,
            perceptual=perceptual,
            search=own,
            mask=mask,
            start=start,
            labels=labels,
            keep_every=keep_every,
            dtype=dtype,
            progress=progress,
        )
        found[space] = result
        rows.append(score(result, perceptual=perceptual, space=space, embed=embed, mask=mask, before=G))
    return found, rows


# ---------------------------------------------------------------------------------------------------- far from the model


@dataclasses.dataclass(frozen=True)
class Reach:
    """How far a target is from what a model makes.

    Attributes:
        nearest: perceptual distance from the target to the nearest of the model's own pictures.
        usual: the distance to their nearest other one that 95 % of these pictures do not exceed.
        count: how many pictures were made.
    """

    nearest: float
    usual: float
    count: int

    @property
    def is_far(self) -> bool:
        return self.nearest > FAR_TIMES * self.usual

    @property
    def warning(self) -> str | None:
        """One line, None where the target is not far."""
        if not self.is_far:
            return None
        return (
            f"the target is far from what this model makes: the nearest of {self.count} of its faces is at {self.nearest:.2f}, "
            f"among themselves 95 % have one within {self.usual:.2f}; is it framed like the model's pictures (--align), "
            "upright, with nothing in front of the face?"
        )


@torch.no_grad()
def far_from_model(
    G: nn.Module, target: Tensor, perceptual: Perceptual, *, count: int | None = None, labels: int | None = None
) -> Reach:
    """Whether a search can succeed, before it: is the target as near to the model's faces as these are to each other?

    The measure is calibrated on the model itself: of `count` of its own pictures, each one's distance to the nearest other
    one. A target that is `FAR_TIMES` as far from its nearest as 95 % of them are from theirs counts as far. What a model has
    never seen (a helmet, another framing, no face at all) lies there; a good but unusual face can lie there too.

    Args:
        target: uint8 [3, H, W].
        perceptual: compares at 64 pixels, whatever the pictures' size.
        count: pictures to make; by default 200, and 64 of pictures above 128 pixels.
    """
    count = count or (200 if G.img_resolution <= 128 else 64)
    where = next(G.parameters()).device
    own = [_rows(part, perceptual, where) for part in sample(G, range(count), labels=labels).split(16)]
    rows = torch.cat(own)
    apart = torch.cdist(rows, rows).square()
    apart.fill_diagonal_(math.inf)
    nearest = (_rows(target[None], perceptual, where) - rows).square().sum(1).min()
    return Reach(float(nearest), float(apart.min(1).values.quantile(FAR_OWN)), count)


def _rows(pictures: Tensor, perceptual: Perceptual, where: torch.device) -> Tensor:
    small = pictures.to(where).float() / 127.5 - 1
    if small.shape[3] > FAR_SIDE:
        small = F.interpolate(small, FAR_SIDE, mode="area")
    return perceptual(small)

"""Train the face embedding that needs no photograph: from drawn people, each seen several times.

    python tools/train_identity.py --steps 1500 --seed 0 --out identity.safetensors

A drawn person (`facegen.data.drawn`) keeps build, skin, hair, eyes and the face's proportions from picture to picture, while
pose, light, expression, clothes and background change. A batch holds several pictures of each of some people, and the
network learns to find those of the same person among all others (the supervised contrastive loss; Khosla et al. 2020,
arXiv:2004.11362). What it sees is distorted, because what it should work on is not drawn by the same hand: colours, blur,
grain and planted faults change, parts are covered, and the framing varies.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from facegen.data.drawn import drawn
from facegen.files import InputError, replacing
from facegen.models.identity import DRAWN_CROP, DRAWN_SIDE, FORMAT, FaceEmbedding, SmallFaceNet, drawn_embedding

PEOPLE, VIEWS = 24, 4  # a batch: so many people, so many pictures of each
TEMPERATURE = 0.1
PEAK = 3e-3  # learning rate of AdamW at its highest
DRAWN_SIZE = 80  # pixels of a drawn picture; of these the network sees 50
TRAINED_ON, HELD_OUT = 1_000_003, 2_000_003  # added to the seed of the drawings: no person is in both
REPORT = 20
UNCANNY = 0.25  # share of pictures with a planted fault: neither a droplet nor unequal eyes make another person


def people(count: int, shots: int, seed: int, size: int = DRAWN_SIZE, uncanny: float = UNCANNY) -> tuple[Tensor, Tensor]:
    """Pictures uint8 [count * shots, 3, size, size] of drawn people, and who they are, int64 [count * shots]."""
    who = torch.arange(count).repeat_interleave(shots)
    return drawn(len(who), size, seed, identities=who, uncanny=uncanny).images, who


# ---------------------------------------------------------------------------------------------------------- distortions


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, 1, 1, 1, generator=generator) * (high - low) + low).float()


def reframed(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """The part `DRAWN_CROP` of each picture, a little shifted, turned, zoomed and by chance mirrored, [N, 3, size, size]."""
    n = len(images)
    left, top, right, bottom = DRAWN_CROP
    turn, zoom, right_by, down_by = (torch.randn(4, n, generator=generator).clamp(-2, 2) * 0.06).unbind()
    flip = (torch.rand(n, generator=generator) < 0.5).float() * 2 - 1
    half_x, half_y = (right - left) * (1 + zoom), (bottom - top) * (1 + zoom)
    cosine, sine = turn.cos(), turn.sin()
    rows = [
        torch.stack([half_x * cosine * flip, -half_y * sine, left + right - 1 + 0.6 * right_by], 1),
        torch.stack([half_x * sine * flip, half_y * cosine, top + bottom - 1 + 0.6 * down_by], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), [n, 3, size, size], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def recoloured(x: Tensor, generator: torch.Generator) -> Tensor:
    """Other light, other inks: greyscale for a half, mixed channels, gamma, contrast and brightness; in 0..1."""
    n = len(x)
    mix = torch.eye(3) + 0.12 * torch.randn(n, 3, 3, generator=generator)
    x = torch.einsum("nij,njhw->nihw", mix / mix.sum(2, keepdim=True), x).clamp(0, 1)
    grey = (x * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    kept = _uniform(n, 0.3, 1.3, generator) * (_uniform(n, 0, 1, generator) < 0.5)
    x = (grey + kept * (x - grey)).clamp(1e-3, 1) ** (_uniform(n, -0.5, 0.5, generator).exp())
    return (x - 0.5) * _uniform(n, 0.6, 1.3, generator) + 0.5 + _uniform(n, -0.12, 0.12, generator)


def lit(x: Tensor, generator: torch.Generator) -> Tensor:
    """A slope of light across the picture and soft shadows, as no drawn light casts them."""
    n, _, height, width = x.shape
    coarse = torch.randn(n, 1, 3, 3, generator=generator) * _uniform(n, 0.0, 0.25, generator)
    return x * F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True).exp()


def worn(x: Tensor, generator: torch.Generator) -> Tensor:
    """Blur for some, grain for all, and a patch of noise over part of the picture for some."""
    n, _, height, width = x.shape
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    softer = F.avg_pool2d(F.pad(soft, (1, 1, 1, 1), mode="replicate"), 3, 1)
    much = _uniform(n, -0.5, 2.0, generator).clamp(min=0)
    x = torch.where(much < 1, x + much.clamp(max=1) * (soft - x), soft + (much - 1) * (softer - soft))
    x = x + torch.randn(x.shape, generator=generator) * _uniform(n, 0.0, 0.05, generator)
    middle = torch.rand(2, n, 1, 1, 1, generator=generator)
    half = 0.5 * _uniform(n, 0.1, 0.4, generator)
    rows, columns = torch.arange(height)[:, None] / height, torch.arange(width)[None] / width
    inside = ((rows - middle[0]).abs() < half) & ((columns - middle[1]).abs() < half)
    inside = inside & (_uniform(n, 0, 1, generator) < 0.3)
    return torch.where(inside, torch.rand(n, 3, 1, 1, generator=generator), x)


def distorted(images: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """uint8 pictures [N, 3, S, S] as the network sees them in training, [N, 3, size, size] in about -1..1."""
    x = reframed(images.float() / 255, size, generator)
    return worn(lit(recoloured(x, generator), generator), generator) * 2 - 1


# ------------------------------------------------------------------------------------------------------------- training


def contrastive_loss(vectors: Tensor, who: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """The supervised contrastive loss (arXiv:2004.11362, equation 2), a scalar.

    Args:
        vectors: [N, E], brought to length 1 here. who: int64 [N]; each person has two pictures or more.
    """
    vectors = F.normalize(vectors, dim=1)
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    logs = (vectors @ vectors.T / temperature).masked_fill(itself, -torch.inf).log_softmax(1)
    same = (who[:, None] == who) & ~itself
    return -(logs.masked_fill(~same, 0).sum(1) / same.sum(1)).mean()


def train_identity(
    steps: int = 1500,
    seed: int = 0,
    *,
    count: int = 1500,
    shots: int = 8,
    width: int = 16,
    dims: int = 128,
    report: Callable[[int, float], None] | None = None,
) -> FaceEmbedding:
    """Train the embedding from drawn people, on the CPU. The same arguments give the same weights on one machine.

    Args:
        steps: batches of `PEOPLE` people, each seen `VIEWS` times.
        seed: of the people, the weights and all chance; PyTorch's global generator is left as it was.
        count, shots: how many people are drawn, and how often each.
        width, dims: of `SmallFaceNet`.
        report: called every `REPORT` steps with the step and the mean loss since the last call.

    Raises:
        InputError: a number is too small to train with.
    """
    for name, value, least in (("steps", steps, 1), ("count", count, 2), ("shots", shots, 2)):
        if value < least:
            raise InputError(f"identity: {name} is {value}; give {least} or more")
    images, who = people(count, shots, seed + TRAINED_ON)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = SmallFaceNet(width, dims)
    chance = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(net.parameters(), PEAK, weight_decay=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps + 1, pct_start=0.1)
    net.train()
    recent: list[float] = []
    for step in tqdm(range(1, steps + 1), desc="identities", unit="batch", disable=None):
        some = torch.randperm(count, generator=chance)[:PEOPLE]
        seen = torch.rand(len(some), shots, generator=chance).argsort(1)[:, :VIEWS]
        rows = (some[:, None] * shots + seen).flatten()  # `people` gives each person's pictures one after another
        loss = contrastive_loss(net(distorted(images[rows], DRAWN_SIDE, chance)), who[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        recent.append(loss.item())
        if report is not None and step % REPORT == 0:
            report(step, sum(recent[-REPORT:]) / REPORT)
    return drawn_embedding(net, "drawn people")


def save_identity(path: str | Path, embed: FaceEmbedding) -> None:
    """Write a trained `SmallFaceNet`, rounded to half precision, as `facegen.models.identity.load_identity` reads it."""
    weights = {name: v.half() if v.is_floating_point() else v for name, v in embed.net.state_dict().items()}
    about = json.dumps({"settings": embed.net.settings})
    with replacing(path) as temporary:
        save_file({name: v.contiguous() for name, v in weights.items()}, temporary, {FORMAT: about})


# ----------------------------------------------------------------------------------------------------------- evaluation


def pairs(who: Sequence[object], count: int = 1000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Seeded pairs of pictures: (int64 [count, 2] of the same person, int64 [count, 2] of two people), none twice.

    Args:
        who: whose each picture is.
        count: how many of each sort.

    Raises:
        InputError: there are not so many.
    """
    chance = random.Random(seed)
    shots: dict[object, list[int]] = {}
    for i, person in enumerate(who):
        shots.setdefault(person, []).append(i)
    several = [rows for rows in shots.values() if len(rows) > 1]
    possible = sum(len(rows) * (len(rows) - 1) // 2 for rows in several)
    others = len(who) * (len(who) - 1) // 2 - possible
    if min(possible, others) < count:
        raise InputError(f"{len(who)} pictures of {len(shots)} people have {min(possible, others)} such pairs, not {count}")
    same: set[tuple[int, int]] = set()
    while len(same) < count:
        a, b = sorted(chance.sample(chance.choice(several), 2))
        same.add((a, b))
    unlike: set[tuple[int, int]] = set()
    while len(unlike) < count:
        a, b = sorted(chance.sample(range(len(who)), 2))
        if who[a] != who[b]:
            unlike.add((a, b))
    return torch.tensor(sorted(same)), torch.tensor(sorted(unlike))


def auc(same: Tensor, unlike: Tensor) -> float:
    """The chance that a pair of the same person is more alike than a pair of two: 1 is perfect, 0.5 is guessing."""
    return float(((same[:, None] > unlike).double() + 0.5 * (same[:, None] == unlike)).mean())


@torch.no_grad()
def verification(embed: FaceEmbedding, images: Tensor, same: Tensor, unlike: Tensor) -> dict[str, float]:
    """How well an embedding tells pairs apart: {"auc", "same", "different"}, the last two being mean cosines.

    Args:
        images: uint8 [N, 3, S, S]. same, unlike: from `pairs`.
    """
    chunks = tqdm(images.split(64), desc="embedding", unit="batch", disable=None if len(images) > 500 else True)
    vectors = torch.cat([embed(chunk.float() / 127.5 - 1) for chunk in chunks])
    alike, other = ((vectors[p[:, 0]] * vectors[p[:, 1]]).sum(1) for p in (same, unlike))
    return {"auc": auc(alike, other), "same": alike.mean().item(), "different": other.mean().item()}


def verification_drawn(embed: FaceEmbedding, seed: int = 0, count: int = 400, size: int = 128) -> dict[str, float]:
    """`verification` on drawn people that no training saw, four pictures of each, 1000 pairs of either sort."""
    images, who = people(count, 4, seed + HELD_OUT, size)
    return verification(embed, images, *pairs(who.tolist(), min(1000, 6 * count), seed))


def main(arguments: Sequence[str] | None = None) -> None:
    """`python tools/train_identity.py`."""
    parser = argparse.ArgumentParser(prog="python tools/train_identity.py", description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1500, help="batches to train (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of people and weights (default %(default)s)")
    parser.add_argument("--out", required=True, help="the file to write, .safetensors")
    parser.add_argument("--people", type=int, default=1500, help="how many to draw (default %(default)s)")
    options = parser.parse_args(arguments)
    try:
        embed = train_identity(
            options.steps,
            options.seed,
            count=options.people,
            report=lambda step, loss: tqdm.write(f"step {step}: loss {loss:.3f}"),
        )
        save_identity(options.out, embed)
    except InputError as problem:
        parser.exit(2, f"{problem}\n")
    result = verification_drawn(embed, options.seed)
    print(f"{options.out}: AUC {result['auc']:.4f} on drawn people not seen in training")


if __name__ == "__main__":
    main()

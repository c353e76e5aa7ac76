"""A folder of different faces from any generator: domain B of face2fake, without asking a web site for pictures.

from facegen.latent.fakes import make_fakes
from facegen.models.pretrained import load

print(make_fakes(load("ffhq.pkl").G, 2000, "data/fakes", network="ffhq.pkl"))
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from facegen.config import TRUNC, TRUNC_OF_SHEETS
from facegen.data.pictures import in_order
from facegen.files import InputError, replacing_folder
from facegen.latent.sample import has_styles, sample_batches

CARD = "SOURCE.json"  # the name that every reader of pictures here passes over
THUMB = 64  # side of the copies that are compared: every face is compared with every other, so all are kept in memory
LOOK_BACK = 64  # a generator is given up when of so many faces in a row
MOST_REPEATED = 60  # more than so many look like earlier ones

# Which of the pictures uint8 [N, 3, S, S] differ from all earlier ones: their indices in 0..N-1.
Unique = Callable[[Tensor], Sequence[int] | Tensor]


@dataclass(frozen=True)
class FakesReport:
    """What `make_fakes` did.

    Attributes:
        dest: the folder written.
        seeds: of the faces in it, rising.
        tried: how many seeds were tried, from the first on: those of near-duplicates too.
        resolution: of every picture, in pixels.
        trunc: the truncation that was used.
    """

    dest: Path
    seeds: tuple[int, ...]
    tried: int
    resolution: int
    trunc: float

    def __str__(self) -> str:
        size, left_out = self.resolution, self.tried - len(self.seeds)
        return f"{self.dest}: {len(self.seeds):,} faces of {size}x{size}, {left_out:,} near-duplicates left out"


def make_fakes(
    G: nn.Module,
    count: int,
    dest: str | Path,
    *,
    trunc: float | None = None,
    seed: int = 0,
    network: str = "",
    label: int | None = None,
    noise_mode: str = "const",
    batch: int | None = None,
    dtype: torch.dtype = torch.float32,
    same: Unique | None = None,
) -> FakesReport:
    """Make `count` faces of which no two look alike, as seed000123.png files in a folder of their own.

    Seeds are tried one after the other; a face that looks like an earlier one is left out. Beside the pictures lies
    SOURCE.json with the network, the truncation and the seeds.

    Args:
        G: any generator that `facegen.latent.sample.sample` takes.
        count: at least 1.
        dest: a new or empty folder, which appears complete or not at all.
        trunc: psi of the truncation trick; None is 0.7 for networks with a w and 1, no truncation, for others.
        seed: the first to try.
        network: what the network is called in SOURCE.json: a file's name, an address.
        label: the class of all faces, for a network that has classes.
        noise_mode, batch, dtype: as for `sample`.
        same: which of uint8 [N, 3, S, S], S at most 64, to keep, as indices; None for `facegen.data.duplicates.unique`.
    """
    if count < 1:
        raise InputError(f"count is {count}: ask for at least 1 face")
    if seed < 0:
        raise InputError(f"seed is {seed}: give 0 or more")
    if trunc is None:
        trunc = TRUNC_OF_SHEETS if has_styles(G) else TRUNC
    if same is None:
        from facegen.data.duplicates import unique as same
    dest = Path(dest).expanduser()

    def make(seeds: range) -> Iterator[Tensor]:
        return sample_batches(G, seeds, trunc=trunc, labels=label, noise_mode=noise_mode, batch=batch, dtype=dtype)

    with replacing_folder(dest) as folder:
        seeds, tried = _different(make, count, seed, folder, same)
        card = {
            "what": "faces made by a generator; nobody in them exists",
            "network": network,
            "trunc": trunc,
            "class": label,
            "noise_mode": noise_mode,
            "seeds": seeds,
            "tried": tried,
        }
        (folder / CARD).write_text(json.dumps(card) + "\n", "utf-8")
    return FakesReport(dest, tuple(seeds), tried, G.img_resolution, trunc)


def _different(
    make: Callable[[range], Iterator[Tensor]], count: int, first: int, folder: Path, same: Unique
) -> tuple[list[int], int]:
    """Write faces until `count` different ones are there: their seeds, and how many seeds were tried.

    The first rounds are small, so that a collapsed generator is found out before it has made thousands of copies.
    """
    kept: dict[int, Tensor] = {}  # seed -> its face in small, uint8 [3, S, S]
    tried, repeats = 0, deque(maxlen=LOOK_BACK)
    while len(kept) < count:
        seeds = range(first + tried, first + tried + min(count - len(kept), max(LOOK_BACK, tried)))
        candidates, done = dict(kept), 0
        for faces in make(seeds):
            _write(folder, seeds[done : done + len(faces)], faces)
            candidates |= zip(seeds[done:], _small(faces))
            done += len(faces)
        numbers = list(candidates)
        chosen = {int(i) for i in same(torch.stack(list(candidates.values())))}
        kept = {number: candidates[number] for i, number in enumerate(numbers) if i in chosen}
        for number in candidates.keys() - kept.keys():
            (folder / _name(number)).unlink()
        tried += len(seeds)
        repeats += [number not in kept for number in seeds]
        if len(kept) < count and sum(repeats) > MOST_REPEATED:
            raise InputError(
                f"only {len(kept):,} of {tried:,} faces (seeds {first} to {seeds[-1]}) differ from each other, and {count:,} "
                "were wanted: the generator has collapsed, or the truncation is too strong; give a trunc nearer to 1, or "
                "another network"
            )
    return list(kept), tried


def _name(seed: int) -> str:
    return f"seed{seed:06d}.png"


def _write(folder: Path, seeds: Sequence[int], faces: Tensor) -> None:
    """faces: uint8 [n, 3, H, W]; on all cores, for compressing a large PNG takes longer than making its face on a GPU."""

    def write(item: tuple[int, Tensor]) -> None:
        Image.fromarray(item[1].permute(1, 2, 0).contiguous().numpy()).save(folder / _name(item[0]))

    for _ in in_order(write, zip(seeds, faces)):
        pass


def _small(faces: Tensor) -> Tensor:
    """uint8 [n, 3, H, W] -> uint8 [n, 3, S, S], the means of areas; pictures of at most THUMB pixels stay as they are."""
    if max(faces.shape[2:]) <= THUMB:
        return faces.clone()  # expanded grey pictures share their memory
    means = torch.nn.functional.interpolate(faces.float(), size=THUMB, mode="area")
    return means.round().to(torch.uint8)

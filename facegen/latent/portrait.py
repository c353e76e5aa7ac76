"""One face through training: the same z in every network that a run has kept.

from facegen.latent.portrait import follow
from facegen.show import portrait, save_film

face = follow("runs/sg2", seed=5, trunc=0.7)
portrait(face)                                       # a strip, each picture under its kimg
save_film(face, "portrait.mp4", fade=0.5)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from tqdm.auto import tqdm

from facegen.files import InputError
from facegen.latent.sample import sample
from facegen.models import pretrained
from facegen.training.fit import History, read_config

__all__ = ["Followed", "follow", "kept_networks"]

T = TypeVar("T")


@dataclass(frozen=True)
class Followed:
    """What `facegen.show` takes as a run's history, with a single face.

    Attributes:
        samples: uint8 [S, 1, 3, H, W], the face at S moments.
        kimg: thousands of real pictures that had been shown, [S], rising.
        name: which face it is.
    """

    samples: Tensor
    kimg: list[float]
    name: str


def kept_networks(run: str | Path) -> list[Path]:
    """The network files that a run has kept of its snapshots (`--keep-networks`), in the order of training.

    Raises:
        InputError: the folder holds no run, or one that translates pictures.
    """
    run = Path(run)
    if not run.is_dir():
        raise InputError(f"{run} is not a folder: give that of a training run")
    if "load_size" in read_config(run)["config"]:
        raise InputError(f"{run} translates pictures, it has no face of its own: follow people with `facegen gallery {run}`")
    return sorted((run / "networks").glob("*.safetensors"), key=lambda path: path.stem)


def follow(
    run: str | Path,
    seed: int | None = None,
    *,
    cell: int | None = None,
    every: int = 1,
    trunc: float = 1.0,
    label: int | None = None,
    device: torch.device | str = "cpu",
) -> Followed:
    """One face at every snapshot of a run, finished or not, of a DCGAN or a StyleGAN.

    Args:
        run: the run's folder.
        seed: the face, as `facegen.latent.sample.sample` numbers them; needs kept networks, and is 0 where there are some.
        cell: instead of a seed: one of the faces that the run's sample grids follow, from 0, row by row. It needs no networks
            and is taken where there are none.
        every: only each so manieth snapshot, and the last.
        trunc: psi of the truncation trick, for a StyleGAN.
        label: the class, for a network that has classes.
        device: where to make the pictures.

    Raises:
        InputError: no such run or no such face, a seed where no networks were kept, or what `sample` refuses.
    """
    networks = kept_networks(run)
    if every < 1:
        raise InputError(f"every={every}: give 1 for all snapshots, 2 for each second one, ...")
    if seed is not None and cell is not None:
        raise InputError("give a seed or a cell of the sample grids, not both: they are different faces")
    if cell is None and networks:
        return _from_networks(_thinned(networks, every), seed or 0, trunc, label, device)
    history = History.load(run)
    count = history.samples.shape[1]
    if seed is not None:
        raise InputError(
            f"{run} has kept no networks to make seed {seed} with (train with --keep-networks=1): without them only the "
            f"{count} faces of its sample grids can be followed, give --cell 0 to {count - 1}"
        )
    if trunc != 1 or label is not None:
        raise InputError("truncation and class need networks, and the sample grids are pictures: leave them out")
    return _from_grids(history, cell or 0, every, run)


def _from_networks(files: Sequence[Path], seed: int, trunc: float, label: int | None, device: torch.device | str) -> Followed:
    pictures, kimg = [], []
    for path in tqdm(files, unit="network", disable=None):
        G, _, info = pretrained.load(path)
        pictures.append(sample(G.to(device), [seed], trunc=trunc, labels=label))
        kimg.append(info.get("kimg"))
    if not all(isinstance(number, (int, float)) for number in kimg):
        raise InputError(f"{files[0].parent}: the network files do not all say how long they were trained (kimg)")
    return Followed(torch.stack(pictures), [float(number) for number in kimg], f"seed {seed}")


def _from_grids(history: History, cell: int, every: int, run: str | Path) -> Followed:
    count = history.samples.shape[1]
    if not len(history.samples):
        raise InputError(f"{run} has no snapshot yet: wait until the first one is written")
    if not 0 <= cell < count:
        raise InputError(f"{run} has no cell {cell}: its sample grids follow {count} faces, 0 to {count - 1}")
    chosen = _thinned(range(len(history.samples)), every)
    return Followed(history.samples[list(chosen), cell : cell + 1], [history.kimg[i] for i in chosen], f"sample {cell}")


def _thinned(items: Sequence[T], every: int) -> list[T]:
    """Each `every`th, counted so that the last is among them."""
    return list(items[::-1][::every][::-1])

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

from facegen.config import TRUNC
from facegen.files import InputError
from facegen.latent.sample import sample
from facegen.models import pretrained
from facegen.training.runs import History, kimg_text, read_config

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

    def __str__(self) -> str:
        count = len(self.kimg)
        first, last = (kimg_text(kimg) for kimg in (self.kimg[0], self.kimg[-1]))
        return f"{self.name} in {count} snapshot{'s' if count > 1 else ''}, {first} to {last} kimg"


def kept_networks(run: str | Path) -> list[Path]:
    """The network files that a run has kept of its snapshots (`--keep-networks`), in the order of training."""
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
    every: int = 1,
    trunc: float = TRUNC,
    label: int | None = None,
    device: torch.device | str = "cpu",
) -> Followed:
    """One face at every snapshot of a run, finished or not, of a DCGAN or a StyleGAN.

    Args:
        run: the run's folder.
        seed: the face, as `facegen.latent.sample.sample` numbers them; needs kept networks. Without it face 0, or of a run
            that has kept no networks the first face of its sample grids.
        every: only every n-th snapshot, and the last.
        trunc: psi of the truncation trick, for a StyleGAN.
        label: the class, for a network that has classes.
        device: where to make the pictures.
    """
    networks = kept_networks(run)
    if every < 1:
        raise InputError(f"every={every}: give 1 for all snapshots, 2 for each second one, ...")
    if networks:
        return _from_networks(_thinned(networks, every), seed or 0, trunc, label, device)
    if seed is not None or trunc != TRUNC or label is not None:
        raise InputError(
            f"{run} has kept no networks (train with --keep-networks=1): only the first face of its sample grids can be "
            "followed, so leave seed, truncation and class out"
        )
    history = History.load(run)
    if not len(history.samples):
        raise InputError(f"{run} has no snapshot yet: wait until the first one is written")
    chosen = _thinned(range(len(history.samples)), every)
    return Followed(history.samples[list(chosen), :1], [history.kimg[i] for i in chosen], "sample 0")


def _from_networks(files: Sequence[Path], seed: int, trunc: float, label: int | None, device: torch.device | str) -> Followed:
    pictures, kimg = [], []
    for path in tqdm(files, unit="network", disable=None):
        G, _, info = pretrained.load(path)
        pictures.append(sample(G.to(device), [seed], trunc=trunc, labels=label))
        kimg.append(info.get("kimg"))
    if not all(isinstance(number, (int, float)) for number in kimg):
        raise InputError(f"{files[0].parent}: the network files do not all say how long they were trained (kimg)")
    return Followed(torch.stack(pictures), [float(number) for number in kimg], f"seed {seed}")


def _thinned(items: Sequence[T], every: int) -> list[T]:
    """Each `every`th, counted so that the last is among them."""
    return list(items[::-1][::every][::-1])

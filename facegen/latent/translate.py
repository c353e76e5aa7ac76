"""Pictures through a trained translation: one network file, or any kept epoch of a run.

from facegen.latent.translate import load_translator, translate_folder

G, info = load_translator("runs/face2fake", "AtoB", epoch=160)
print(translate_folder(G, "data/face2fake/testA", "results", size=128))
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm.auto import tqdm

from facegen.data.faces import safe_name
from facegen.data.packed import nothing_usable
from facegen.data.pictures import Row, Source, Unusable, decode, fit, in_order, no_bomb_warnings, table
from facegen.files import InputError, one_line, replacing_folder
from facegen.models import pretrained
from facegen.models.cyclegan import ResnetGenerator, UnetGenerator
from facegen.training.cyclegan import DIRECTIONS, paint
from facegen.training.diagnose import change_made, identity_kept
from facegen.training.runs import History, read_config

SIZE = 256  # of pictures for a network file that does not say at which size it was trained
BATCH = 8  # pictures at once


# ------------------------------------------------------------------------------------------------------- networks


def kept_epochs(run: str | Path, direction: str = "AtoB") -> dict[int, Path]:
    """The network files of a run by their epoch, rising.

    Args:
        run: the folder of a `train --cfg=cyclegan` run, finished or not.
        direction: "AtoB" or "BtoA".
    """
    _check_run(Path(run), direction)
    names = {
        path: re.fullmatch(r"epoch-(\d+)-" + direction, path.stem) for path in (Path(run) / "networks").glob("*.safetensors")
    }
    return dict(sorted((int(match[1]), path) for path, match in names.items() if match))


def load_translator(
    network: str | Path, direction: str = "AtoB", epoch: int | None = None
) -> tuple[nn.Module, dict[str, object]]:
    """The generator of one direction, ready for use, and what its file says about it.

    Args:
        network: the folder of a run, or a network file: ours, or a published one such as `latest_net_G_A.pth`.
        direction: "AtoB" or "BtoA". A published file holds one direction and does not say which: it is taken as it is.
        epoch: of a run: a kept one; None for the newest.

    Raises:
        InputError: an epoch that was not kept (the message lists those that were), a direction that the file does not
            have, or a network that does not translate pictures.
        OSError: the file cannot be read.
    """
    path = _network_path(Path(network), direction, epoch)
    G, _, info = pretrained.load(path)
    if not isinstance(G, (ResnetGenerator, UnetGenerator)):
        family = type(G).__module__.rpartition(".")[2]
        raise InputError(f"{path} holds a {family} network, which makes faces from noise: give one that translates pictures")
    if (G.img_channels, G.out_channels) != (3, 3):
        channels = f"{G.img_channels} to {G.out_channels} channels"
        raise InputError(f"{path} translates pictures of {channels}: give a network for colour pictures, 3 to 3")
    if info.get("direction") in DIRECTIONS and info["direction"] != direction:
        raise InputError(f"{path} translates {info['direction']}: leave --direction at that, or give the file of {direction}")
    return G, info


def trained_size(info: Mapping[str, object]) -> int:
    """Pixels of the pictures that a network was trained on, by what its file says; `SIZE` where it does not say."""
    config = info.get("config")
    size = config.get("image_size") if isinstance(config, dict) else None
    return size if type(size) is int else SIZE


def _check_run(run: Path, direction: str) -> None:
    if direction not in DIRECTIONS:
        raise InputError(f"direction={direction!r} is not known: choose one of {', '.join(DIRECTIONS)}")
    if not (run / "config.json").is_file():
        raise InputError(f"{run} holds no training run (no config.json): give the folder that `facegen train` wrote")


def _network_path(network: Path, direction: str, epoch: int | None) -> Path:
    if not network.is_dir():
        if epoch is not None:
            raise InputError(
                f"{network} is a single network, epochs are kept in a run's folder: leave --epoch out, or give that"
            )
        return network
    kept = kept_epochs(network, direction)
    if epoch is None:
        newest = network / f"network-{direction}.safetensors"
        if not newest.is_file():
            raise InputError(f"{network} holds no network that translates {direction}: it is another kind of run, or too young")
        return newest
    if epoch not in kept:
        there = f"kept are {', '.join(map(str, kept))}" if kept else "no epoch was kept yet"
        raise InputError(f"{network}: epoch {epoch} was not kept: {there}")
    return kept[epoch]


# --------------------------------------------------------------------------------------------------------- folders


@dataclass(frozen=True)
class TranslatedReport:
    """What `translate_folder` did: the folder written, how many pictures, and a row for every file left out."""

    dest: Path
    count: int
    size: int
    rows: tuple[Row, ...] = field(repr=False, default=())

    def __str__(self) -> str:
        left_out = sum(not row.used for row in self.rows)
        summary = f"{self.dest}: {self.count:,} pictures of {self.size}x{self.size}, {left_out:,} files left out"
        return "\n".join([summary, *([table(self.rows)] if self.rows else [])])


def translate_folder(G: nn.Module, source: str | Path, dest: str | Path, *, size: int) -> TranslatedReport:
    """Translate every picture of a folder or zip, as a PNG of the same name.

    Args:
        G: from `load_translator`, on any device.
        source: one picture, or a folder or zip of them, nested is fine; their largest centred squares are taken.
        dest: a new or empty folder, which appears complete or not at all.
        size: side of the results in pixels: the size that G was trained at, or another multiple of 4.
    """
    if size % 4 or not 8 <= size <= 4096:  # other sizes come out larger than they went in
        raise InputError(f"size={size}: give a multiple of 4 from 8 to 4096 pixels")
    device, rows, taken = next(G.parameters()).device, [], set()
    with no_bomb_warnings(), Source(source, single=True) as pictures, replacing_folder(Path(dest).expanduser()) as folder:
        with closing(_batches(pictures, size, rows)) as batches:
            for names, batch in batches:
                painted = paint(G, batch.to(device).float() / 127.5 - 1)
                for name, picture in zip(names, painted):
                    _save(picture, folder / safe_name(name, ".png", taken))
        if not taken:
            raise nothing_usable(pictures, rows)
    return TranslatedReport(Path(dest), len(taken), size, tuple(rows))


def _batches(source: Source, size: int, rows: list[Row]) -> Iterator[tuple[list[str], Tensor]]:
    """Names and pictures uint8 [n, 3, size, size], n at most BATCH."""

    def one(name: str) -> tuple[str, Tensor | Row]:
        try:
            image, _ = decode(source.read(name))
            image, _ = fit(image, (size, size), "center-crop")
        except Unusable as error:
            return name, Row(name, str(error), "left out", False)
        return name, torch.from_numpy(np.array(image)).permute(2, 0, 1)

    names, pictures = [], []
    for name, picture in tqdm(in_order(one, source.names), total=len(source.names), unit="img", disable=None):
        if isinstance(picture, Row):
            rows.append(picture)
            continue
        names.append(name)
        pictures.append(picture)
        if len(names) == BATCH:
            yield names, torch.stack(pictures)
            names, pictures = [], []
    if names:
        yield names, torch.stack(pictures)


def _save(picture: Tensor, path: Path) -> None:
    Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(path)


# ---------------------------------------------------------------------------------------------------------- people


@dataclass(frozen=True)
class People:
    """What some epochs of a run make of some people.

    Attributes:
        names: what the pictures are called.
        originals: uint8 [N, 3, S, S].
        outputs: epoch -> uint8 [N, 3, S, S].
        numbers: epoch -> one dict of measures for each person.
    """

    names: Sequence[str]
    originals: Tensor
    outputs: dict[int, Tensor]
    numbers: dict[int, list[dict[str, float]]]


def people(
    run: str | Path,
    epochs: Sequence[int] | None = None,
    *,
    direction: str = "AtoB",
    source: str | Path | None = None,
    most: int = 8,
    embed: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | str = "cpu",
) -> People:
    """Translate the same people with several kept epochs of a run, and measure what becomes of them.

    The numbers are those of `facegen.training.diagnose`: `change made`, and `identity kept`, which without an embedding
    measures coarse structure and colour, and is called `likeness kept`.

    Args:
        run: the folder of a run.
        epochs: which; None for all kept ones.
        direction: "AtoB" or "BtoA".
        source: a picture, a folder or a zip of them; None for the run's own originals, which are pictures of A.
        most: take the first so many people.
        embed: what compares faces; without one identity is judged by coarse structure and colour.
        device: where to translate.
    """
    run = Path(run)
    kept = kept_epochs(run, direction)
    if not kept:
        raise InputError(f"{run} has kept no epochs that translate {direction}: train on, with --keep-epochs 1 for example")
    if most < 1:
        raise InputError(f"people={most}: show at least 1")
    chosen = list(kept) if epochs is None else sorted(set(epochs))
    for epoch in chosen:
        _network_path(run, direction, epoch)  # all are there, or nothing is begun
    names, originals = _originals(run, direction, source, most)
    outputs, numbers = {}, {}
    for epoch in tqdm(chosen, desc="Epochs", disable=None):
        G = load_translator(run, direction, epoch)[0].to(device)
        outputs[epoch] = paint(G, originals.to(device).float() / 127.5 - 1)
        numbers[epoch] = _measures(originals, outputs[epoch], embed)
    return People(names, originals, outputs, numbers)


def _originals(run: Path, direction: str, source: str | Path | None, most: int) -> tuple[list[str], Tensor]:
    size = read_config(run)["image_size"]
    if source is None:
        pictures = History.load(run).originals
        if direction != "AtoB" or pictures is None:
            raise InputError(f"{run} has no pictures of its own for {direction}: name some with --source")
        return [f"Person {number}" for number in range(1, len(pictures[:most]) + 1)], pictures[:most]
    rows: list[Row] = []
    names, pictures = [], []
    with no_bomb_warnings(), Source(source, single=True) as found, closing(_batches(found, size, rows)) as batches:
        for some, batch in batches:
            names += [one_line(PurePosixPath(name).name) for name in some]
            pictures.append(batch)
            if len(names) >= most:
                break
        if not names:
            raise nothing_usable(found, rows)
    return names[:most], torch.cat(pictures)[:most]


def _measures(originals: Tensor, outputs: Tensor, embed: Callable[[Tensor], Tensor] | None) -> list[dict[str, float]]:
    changes = change_made(originals, outputs).tolist()
    if len(originals) < 2:  # identity is measured against other people
        return [{"change made": change} for change in changes]
    kept = identity_kept(originals, outputs, embed).tolist()
    name = "identity kept" if embed else "likeness kept"
    return [{name: identity, "change made": change} for identity, change in zip(kept, changes)]

"""Pictures and films of trained networks: `generate`, `portrait`, `translate`, `gallery`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from facegen.cli.flags import Film, Folder, Kind, Label, Network, OnDevice, Pair, Picture, Psi, Run, Scale, file, flags, verb
from facegen.config import TRUNC
from facegen.devices import device
from facegen.files import InputError

FILM_WIDTH = 512  # pixels
Direction = Literal["AtoB", "BtoA"]


@flags
class StyleFlags:
    """What only StyleGANs have."""

    heading = "StyleGAN"

    trunc: Psi = TRUNC  # below 1: more usual and less varied faces, 0 is the mean face
    trunc_cutoff: int | None = None  # truncate only the first N layers, not all
    label: Label | None = None  # which class, for a network that has classes
    noise_mode: Literal["random", "const", "none"] = "const"  # StyleGAN2's noise inputs
    translate: Pair | None = None  # StyleGAN3: move the picture right and down, in picture widths, such as -0.1,0
    rotate: Annotated[float | None, Kind("DEG", float)] = None  # StyleGAN3: turn the picture counter-clockwise
    precision: Literal["float32", "bfloat16"] = "float32"  # bfloat16 may be faster


@verb("make pictures", "generate NET --seeds 0-63 --grid faces.png")
class Generate(OnDevice, StyleFlags):
    """Make faces with a trained network."""

    network: Network  # a network file, its address, or a name of `facegen models`
    seeds: Annotated[str, Kind("LIST")] = "0-63"  # one face per seed: 0-63 or 1,5,12-20
    grid: Picture | None = None  # write all faces into one picture
    outdir: Folder | None = None  # write one picture per seed into this folder
    scale: Scale = 1  # enlarge the grid's pictures N times

    def run(self) -> None:
        if not self.grid and not self.outdir:
            raise InputError("nothing to write: give --grid FILE for one picture, --outdir DIR for one per seed, or both")
        if self.trunc_cutoff is not None and self.trunc == 1:
            raise InputError("--trunc-cutoff does nothing without truncation: give --trunc PSI too, such as --trunc 0.7")

        import torch

        from facegen.latent.sample import moved, sample_batches, seeds_of
        from facegen.show.grids import save_faces

        seeds, G = seeds_of(self.seeds), self.generator()
        style = {"trunc": self.trunc, "cutoff": self.trunc_cutoff, "labels": self.label, "noise_mode": self.noise_mode}
        with moved(G, self.translate, self.rotate):
            batches = sample_batches(G, seeds, **style, dtype=getattr(torch, self.precision))
            save_faces(batches, G.img_resolution, seeds, self.outdir, self.grid, self.scale)
        print(f"{len(seeds)} faces: {', '.join(str(path) for path in (self.grid, self.outdir) if path)}")


@verb("make pictures", "portrait runs/first --seed 5 --out portrait.png --video portrait.mp4")
class Portrait(OnDevice):
    """Follow one face through the training of a DCGAN or a StyleGAN.

    It needs a run whose networks were kept: `facegen train --keep-networks 1`.
    """

    directory: Run  # the run's folder
    seed: int | None = None  # the face, if networks were kept (default: 0)
    every: int = 1  # every Nth snapshot only, plus the last
    out: Picture = "portrait.png"  # a strip: .png, .jpg or .webp
    video: Film | None = None  # also a film: .mp4, .webp or .gif
    seconds: float = 8.0  # the film's playing time
    fade: float = 0.5  # share of the time in which faces change, 0 to 1
    trunc: Psi = TRUNC  # below 1: more usual faces (StyleGAN)
    label: Label | None = None  # which class, for a network that has classes

    def run(self) -> None:
        from facegen.latent.portrait import follow
        from facegen.show import portrait, save_film
        from facegen.show.video import check_film

        if self.video:
            check_film(self.video)
        on = device(self.device)
        face = follow(self.directory, self.seed, every=self.every, trunc=self.trunc, label=self.label, device=on)
        portrait(face, title=f"{face.name[0].upper()}{face.name[1:]} through training").save(self.out)
        print(f"{self.out}: {face}")
        if self.video:
            save_film(face, self.video, seconds=self.seconds, fade=self.fade, width=FILM_WIDTH)
            print(f"{self.video}: {self.video.stat().st_size / 1e6:.1f} MB")


@verb("make pictures", "translate --network runs/face2fake --direction AtoB --source photos --outdir results")
class Translate(OnDevice):
    """Put pictures through a trained translation."""

    network: Annotated[Path, Kind("RUN|FILE", Path)]  # a run's folder, or a file such as latest_net_G_A.pth
    source: Annotated[Path, Kind("PHOTO|DIR|ZIP", Path)]  # the pictures
    outdir: Folder  # a new folder
    direction: Direction = "AtoB"  # A to B is real to fake
    epoch: int | None = None  # a kept epoch of the run (default: the newest)
    size: int | None = None  # side of the results (default: as the network was trained)

    def run(self) -> None:
        from facegen.latent.translate import load_translator, trained_size, translate_folder

        G, info = load_translator(self.network, self.direction, self.epoch)
        size = trained_size(info) if self.size is None else self.size
        print(translate_folder(G.to(device(self.device)), self.source, self.outdir, size=size))


@verb("make pictures", "gallery runs/face2fake --epochs 1,2 --out index.html")
class Gallery(OnDevice):
    """One page that shows what each kept epoch of a translation made of people."""

    directory: Run  # the run's folder
    epochs: Annotated[str | None, Kind("LIST")] = None  # such as 10,100,160 (default: all that were kept)
    out: Annotated[Path, Kind("FILE.html", file(".html", ".htm"))] = "index.html"  # the page to write
    source: Annotated[Path | None, Kind("DIR|ZIP", Path)] = None  # who to show (default: the run's own test pictures)
    people: int = 8  # how many
    direction: Direction = "AtoB"  # A to B is real to fake
    # a face model that you have, to measure identity (docs/face2fake.md)
    face_model: Annotated[str | None, Kind("FILE")] = None
    title: Annotated[str, Kind("TEXT")] = "Translated faces, epoch by epoch"  # of the page

    def run(self) -> None:
        from facegen.latent.sample import seeds_of
        from facegen.latent.translate import people
        from facegen.models.identity import load_identity
        from facegen.show.gallery import gallery, persons

        epochs = seeds_of(self.epochs, "--epochs") if self.epochs else None
        embed = load_identity(self.face_model) if self.face_model else None
        options = {"direction": self.direction, "source": self.source, "most": self.people, "embed": embed}
        found = people(self.directory, epochs, **options, device=device(self.device))
        page = gallery(persons(found), self.out, title=self.title)
        print(f"{page}: {len(found.names)} people, epochs {', '.join(map(str, found.outputs))}")

"""`facegen project`: find a face, or the faces of a folder, in a generator's latent space, with scores."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facegen.cli.flags import NET, Folder, Kind, Label, Network, OnDevice, verb, yes_no
from facegen.files import InputError, one_line, replacing_folder, sha256_of

if TYPE_CHECKING:
    from torch import Tensor, nn


@verb("edit faces", f"project {NET} --target seed:7 --outdir projected")
class Project(OnDevice):
    """Find a photograph, or a generated face, in the latent space of a StyleGAN."""

    network: Network  # a network file, its address, or a name of `facegen models`
    # a square picture framed like the model's, a folder of such, or seed:N for a control: a face of the model itself
    target: Annotated[str, Kind("FILE|DIR|seed:N")]
    # w: the face that the model makes nearest; w+: a w for each layer, nearer and harder to edit; pti: w, then tune the
    # network around it; ladder: all three, compared
    space: Literal["w", "w+", "pti", "ladder"] = "w+"
    outdir: Folder  # a new folder
    steps: Annotated[int, Kind("N", int, ("--steps", "--num-steps"))] = 500  # of the search
    tune_steps: int = 250  # of the tuning (pti)
    seed: int = 0  # of the search
    # also write a film of the search, next to the target
    save_video: Annotated[bool, Kind("0|1", yes_no, without=True)] = False
    align: bool = False  # find the face first and frame it as FFHQ does
    mask: bool = False  # compare the face, and hair and background only a little
    # also search for StyleGAN2's noise inputs: sharper, but then only the written network makes the picture
    learn_noise: bool = False
    # what pictures are compared by: vgg16 (553 MB, fetched once), lite0, or auto, vgg16 where it is already here
    perceptual: Literal["auto", "vgg16", "lite0"] = "auto"
    # what tells people apart in the scores: drawn, the file of a model that you have, or none
    identity: Annotated[str, Kind("NAME|FILE")] = "drawn"
    label: Label | None = None  # which class, for a network that has classes
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # while searching; auto: bfloat16 on a GPU that has it

    def run(self) -> None:
        control = re.fullmatch(r"seed:(\d+)", self.target)
        if self.target.startswith("seed:") and not control:
            raise InputError(f"--target {self.target}: a control is seed: and a whole number, such as seed:7")
        if control and self.align:
            raise InputError(f"--target {self.target} is framed as the model frames its faces: leave --align out")
        if not control and not Path(self.target).exists():
            raise InputError(f"--target {self.target}: no such picture or folder (a control is seed:N, such as seed:7)")
        with replacing_folder(self.outdir) as folder:
            self.project(folder, int(control[1]) if control else None)
        print(f"written: {self.outdir}")

    def project(self, folder: Path, control: int | None) -> None:
        """Search for each target, and write what was found."""
        import torch

        from facegen.config import autocast_dtype, device
        from facegen.latent import scores
        from facegen.latent.project import Search, check_projectable, face_mask
        from facegen.models.identity import load_identity
        from facegen.models.perceptual import load_perceptual
        from facegen.models.pretrained import load
        from facegen.models.published import network_file
        from facegen.show.projected import FILM_FRAMES, write_projection, write_target
        from facegen.show.video import check_film

        if self.save_video:
            check_film(self.outdir / "search.mp4")
        space = "w" if self.space == "ladder" else self.space
        search = Search(space=space, steps=self.steps, tune_steps=self.tune_steps, learn_noise=self.learn_noise, seed=self.seed)
        on, path = device(self.device), network_file(self.network)
        loaded, sha256 = load(path), sha256_of(path)
        check_projectable(loaded.G, self.network, self.label)
        G = loaded.G.to(on)
        half = autocast_dtype(self.precision, on) if self.precision != "auto" or on.type == "cuda" else None
        see = load_perceptual(self.perceptual, on, dtype=half)
        embed = None if self.identity == "none" else load_identity(self.identity).to(on)
        mask = face_mask(G.img_resolution).to(on) if self.mask else None
        protocol = {
            "network": path.name,
            "network_sha256": sha256,
            "perceptual": str(see),
            "identity": None if embed is None else embed.name,
            **asdict(search),
            "space": self.space,
            "mask": self.mask,
            "aligned": self.align,
            "class": self.label,
            "precision": str(half or torch.float32).removeprefix("torch."),
            "device": on.type,
            "torch": torch.__version__,
        }
        tuned = {"projected_from": path.name, "projected_from_sha256": sha256}
        if isinstance(licence := loaded.info.get("licence"), str):
            tuned["licence"] = licence
        steps = self.steps + (self.tune_steps if self.space in ("pti", "ladder") else 0)
        common = {"search": search, "mask": mask, "labels": self.label, "dtype": half, "embed": embed}
        several = control is None and Path(self.target).is_dir()
        for name, target, note in self.targets(G, control):
            start, place = time.perf_counter(), folder / name if several else folder
            place.mkdir(exist_ok=True)
            reach = scores.far_from_model(G, target, see, labels=self.label)
            if reach.warning:
                print(f"facegen: {one_line(name)}: {reach.warning}", file=sys.stderr)
            keep_every = max(1, steps // FILM_FRAMES)
            found, rows = scores.scored(G, target, self.space, perceptual=see, keep_every=keep_every, **common)
            for space, result in found.items():
                network = tuned if space == "pti" or search.learn_noise else None
                where = place / space if self.space == "ladder" else place
                write_projection(where, result, network=network, film=self.save_video)
            seconds, about = time.perf_counter() - start, {"name": name, "note": note}
            write_target(place, target, about, rows, reach, protocol, seconds=seconds, synthetic=control is not None)
            print(f"{one_line(name)} ({note}): {seconds:.0f} s\n{scores.table(rows)}")

    def targets(self, G: nn.Module, control: int | None) -> Iterator[tuple[str, Tensor, str]]:
        """Name, uint8 [3, H, W] of the model's size, and what was done to it."""
        from facegen.data.photos import align
        from facegen.latent.sample import sample
        from facegen.latent.targets import read_targets

        if control is not None:
            yield f"seed{control}", sample(G, [control], labels=self.label)[0], f"the model's own face of seed {control}"
            return
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(self.target)
            if self.align:
                aligned = Path(scratch) / "aligned"
                print(replace(align(source, aligned, max(16, G.img_resolution)), dest=source))
                source = aligned
            yield from read_targets(source, G.img_resolution, "aligned" if self.align else "as given")

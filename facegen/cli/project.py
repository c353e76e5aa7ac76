"""`facegen project`: find a face, or the faces of a folder, in a generator's latent space, with scores."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facegen.cli.flags import NET, Folder, Kind, Label, Network, OnDevice, verb, yes_no
from facegen.files import InputError, replacing, replacing_folder, sha256_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from facegen.latent.project import Projection, Search
    from facegen.latent.scores import Scores
    from facegen.models.perceptual import Perceptual

FILM_FRAMES = 125  # of the search; five seconds
FILM_REST = 25  # of its end
FILM_WIDTH = 512


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
            job = self.job()
            several = not control and Path(self.target).is_dir()
            for name, target, note in self.targets(job.G, int(control.group(1)) if control else None):
                job.project(name, target, note, folder / name if several else folder)
        print(f"written: {self.outdir}")

    def job(self) -> Job:
        import torch

        from facegen.config import autocast_dtype, device
        from facegen.latent.project import Search, face_mask
        from facegen.latent.sample import has_styles, one_hot
        from facegen.models.identity import load_identity
        from facegen.models.perceptual import load_perceptual
        from facegen.models.pretrained import load
        from facegen.models.published import network_file
        from facegen.show.video import check_film

        if self.save_video:
            check_film(self.outdir / "search.mp4")
        space = "w" if self.space == "ladder" else self.space
        search = Search(space=space, steps=self.steps, tune_steps=self.tune_steps, learn_noise=self.learn_noise, seed=self.seed)
        on = device(self.device)
        half = autocast_dtype(self.precision, on) if self.precision != "auto" or on.type == "cuda" else None
        path = network_file(self.network)
        loaded = load(path)
        if not has_styles(loaded.G):
            raise InputError(f"{self.network}: this generator has no w to project into: give a StyleGAN2 or a StyleGAN3")
        if loaded.G.img_channels != 3:
            raise InputError(f"{self.network}: its pictures have {loaded.G.img_channels} channel: only colour can be projected")
        one_hot(loaded.G, self.label, 1)  # a class that does not exist is refused now
        G = loaded.G.to(on)
        see = load_perceptual(self.perceptual, on, dtype=half)
        embed = None if self.identity == "none" else load_identity(self.identity).to(on)
        origin = {"network": path.name, "network_sha256": sha256_of(path)}
        protocol = {
            **origin,
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
        licence = loaded.info.get("licence")
        info = {f"projected_from{name.removeprefix('network')}": value for name, value in origin.items()}
        info |= {"licence": licence} if isinstance(licence, str) else {}
        mask = face_mask(G.img_resolution).to(on) if self.mask else None
        return Job(self, G, see, embed, search, mask, half, protocol, info)

    def targets(self, G: nn.Module, control: int | None) -> Iterator[tuple[str, Tensor, str]]:
        """Name, uint8 [3, H, W] of the model's size, and what was done to it."""
        from facegen.data.photos import align
        from facegen.latent.sample import sample
        from facegen.latent.targets import read_targets

        if control is not None:
            yield f"seed{control}", sample(G, [control], labels=self.label)[0], f"the model's own face of seed {control}"
            return
        with ExitStack() as stack:
            source = Path(self.target)
            if self.align:
                aligned = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "aligned"
                print(replace(align(source, aligned, max(16, G.img_resolution)), dest=source))
                source = aligned
            yield from read_targets(source, G.img_resolution, "aligned" if self.align else "as given")


@dataclass
class Job:
    """All that is the same for every target."""

    asked: Project
    G: nn.Module
    see: Perceptual
    embed: Callable[[Tensor], Tensor] | None
    search: Search
    mask: Tensor | None
    dtype: torch.dtype | None
    protocol: dict[str, object]
    info: dict[str, object]  # of a network that is written

    def project(self, name: str, target: Tensor, note: str, folder: Path) -> None:
        """Search for one target; write what was found and its scores."""
        from facegen.latent.scores import far_from_model, table
        from facegen.show import save_image
        from facegen.show.video import SYNTHETIC

        start = time.perf_counter()
        folder.mkdir(exist_ok=True)
        reach = far_from_model(self.G, target, self.see, labels=self.asked.label)
        if reach.warning:
            print(f"facegen: {name}: {reach.warning}", file=sys.stderr)
        found, rows = self.found(target)
        save_image(target, folder / "target.png", synthetic=SYNTHETIC if self.asked.target.startswith("seed:") else "")
        for space, result in found.items():
            self.write(space, result, folder / space if self.asked.space == "ladder" else folder)
        facts = {
            "target": {"name": name, "note": note},
            "scores": [{k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows],
            "reach": {**asdict(reach), "far": reach.is_far, "warning": reach.warning},
            "seconds": round(time.perf_counter() - start, 1),
            "protocol": self.protocol,
        }
        with replacing(folder / "scores.json") as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
        print(f"{name} ({note}): {facts['seconds']:.0f} s\n{table(rows)}")

    def found(self, target: Tensor) -> tuple[dict[str, Projection], list[Scores]]:
        from facegen.latent.project import project
        from facegen.latent.scores import ladder, score

        space = self.asked.space
        total = self.search.steps + (self.search.tune_steps if space in ("pti", "ladder") else 0)
        common = {"perceptual": self.see, "search": self.search, "mask": self.mask, "labels": self.asked.label}
        common |= {"dtype": self.dtype, "keep_every": max(1, total // FILM_FRAMES)}
        if space == "ladder":
            return ladder(self.G, target, embed=self.embed, **common)
        result = project(self.G, target, **common)
        row = score(result, perceptual=self.see, space=space, embed=self.embed, mask=self.mask, before=self.G)
        return {space: result}, [row]

    def write(self, space: str, result: Projection, folder: Path) -> None:
        import torch

        from facegen.latent.project import save_latents
        from facegen.models.pretrained import save
        from facegen.show import save_image
        from facegen.show.video import SYNTHETIC, save_frames

        folder.mkdir(exist_ok=True)
        save_latents(folder / "projected_w.npz", result.ws)
        save_image(result.image, folder / "result.png", synthetic=SYNTHETIC)
        if space == "pti" or self.search.learn_noise:
            save(folder / "network.safetensors", result.G, None, self.info)
        if self.asked.save_video:
            # uint8 [K, 3, H, 2 W]: the target, and the search with its end for a second
            frames = torch.cat([result.frames, result.image[None].expand(FILM_REST, -1, -1, -1)])
            frames = torch.cat([result.target.expand_as(frames), frames], dim=3)
            save_frames([frames], folder / "search.mp4", width=FILM_WIDTH)

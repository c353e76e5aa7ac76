"""`facegen project`: find a face, or the faces of a folder, in a generator's latent space, with scores."""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from facegen.files import InputError, replacing, replacing_folder
from facegen.verbs.common import add_verb

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from facegen.latent.project import Projection, Search
    from facegen.latent.scores import Scores
    from facegen.models.perceptual import Perceptual
    from facegen.models.pretrained import Loaded

SPACES = ("w", "w+", "pti", "ladder")
FILM_FRAMES = 125  # of the search; five seconds
FILM_REST = 25  # of its end
FILM_WIDTH = 512


def add_project(verbs) -> None:
    parser = add_verb(
        verbs,
        "project",
        _project,
        "find a photograph, or a generated face, in the latent space of a StyleGAN",
        "facegen project --network runs/sg2/network.safetensors --target me.jpg --align --outdir projected",
    )
    text = "a network file, its address, or a name of `facegen models`"
    parser.add_argument("--network", required=True, metavar="FILE|URL|NAME", help=text)
    text = "a square picture framed like the model's, a folder of such, or seed:N for a control: a face of the model itself"
    parser.add_argument("--target", required=True, metavar="FILE|DIR|seed:N", help=text)
    text = "w: the face that the model makes nearest; w+: a w for each layer, nearer and harder to edit; pti: w, then tune the "
    text += "network around it; ladder: all three, compared"
    parser.add_argument("--space", choices=SPACES, default="w+", help=text)
    parser.add_argument("--outdir", required=True, type=Path, metavar="DIR", help="a new folder")
    parser.add_argument("--steps", "--num-steps", type=int, default=500, metavar="N", help="of the search")
    parser.add_argument("--tune-steps", type=int, default=250, metavar="N", help="of the tuning (pti)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the search")
    text = "also write a film of the search, the target beside it"
    parser.add_argument("--save-video", nargs="?", type=_yes_no, const=True, default=False, metavar="0|1", help=text)
    parser.add_argument("--align", action="store_true", help="find the face first and frame it as FFHQ does")
    parser.add_argument("--mask", action="store_true", help="compare the face, and hair and background only a little")
    text = "also search for StyleGAN2's noise inputs: sharper, but then only the written network makes the picture"
    parser.add_argument("--learn-noise", action="store_true", help=text)
    text = "what pictures are compared by: vgg16 (553 MB, fetched once), lite0, or auto, vgg16 where it is already here"
    parser.add_argument("--perceptual", choices=["auto", "vgg16", "lite0"], default="auto", help=text)
    text = "what tells people apart in the scores: drawn, the file of a model that you have, or none"
    parser.add_argument("--identity", default="drawn", metavar="NAME|FILE", help=text)
    parser.add_argument("--class", dest="label", type=int, metavar="K", help="which class, for a network that has classes")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")
    text = "while searching; auto: bfloat16 on a GPU that has it"
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto", help=text)


def _yes_no(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"{text!r} is neither 0 nor 1")
    return words[text.lower()]


def _project(args: argparse.Namespace) -> int:
    control = _control_seed(args.target)
    if control is not None and args.align:
        raise InputError(f"--target {args.target} is framed as the model frames its faces: leave --align out")
    if control is None and not Path(args.target).exists():
        raise InputError(f"--target {args.target}: no such picture or folder (a control is seed:N, such as seed:7)")
    with replacing_folder(args.outdir) as folder:
        job = _job(args)
        several = control is None and Path(args.target).is_dir()
        for name, target, note in _targets(args, job.G, control):
            _one(job, name, target, note, folder / name if several else folder)
    print(f"written: {args.outdir}")
    return 0


def _control_seed(target: str) -> int | None:
    match = re.fullmatch(r"seed:(\d+)", target)
    if target.startswith("seed:") and match is None:
        raise InputError(f"--target {target}: a control is seed: and a whole number, such as seed:7")
    return int(match.group(1)) if match else None


@dataclass
class _Job:
    """All that is the same for every target."""

    args: argparse.Namespace
    loaded: Loaded
    G: nn.Module
    see: Perceptual
    embed: Callable[[Tensor], Tensor] | None
    search: Search
    mask: Tensor | None
    dtype: torch.dtype | None
    protocol: dict[str, object]


def _job(args: argparse.Namespace) -> _Job:
    import torch

    from facegen.config import autocast_dtype, device
    from facegen.files import sha256_of
    from facegen.latent.project import Search, face_mask
    from facegen.latent.sample import has_styles, one_hot
    from facegen.models.identity import load_identity
    from facegen.models.perceptual import load_perceptual
    from facegen.models.pretrained import load
    from facegen.models.published import network_file
    from facegen.show.video import check_film

    if args.save_video:
        check_film(args.outdir / "search.mp4")
    space = "w" if args.space == "ladder" else args.space
    search = Search(space=space, steps=args.steps, tune_steps=args.tune_steps, learn_noise=args.learn_noise, seed=args.seed)
    on = device(args.device)
    half = autocast_dtype(args.precision, on) if args.precision != "auto" or on.type == "cuda" else None
    path = network_file(args.network)
    loaded = load(path)
    if not has_styles(loaded.G):
        raise InputError(f"{args.network}: this generator has no w to project into: give a StyleGAN2 or a StyleGAN3")
    if loaded.G.img_channels != 3:
        raise InputError(f"{args.network}: its pictures have {loaded.G.img_channels} channels: only colour can be projected")
    one_hot(loaded.G, args.label, 1)  # a class that does not exist is refused now
    G = loaded.G.to(on)
    see = load_perceptual(args.perceptual, on, dtype=half)
    embed = None if args.identity == "none" else load_identity(args.identity).to(on)
    protocol = {
        "network": path.name,
        "network_sha256": sha256_of(path),
        "perceptual": str(see),
        "identity": None if embed is None else embed.name,
        "space": args.space,
        **{name: value for name, value in asdict(search).items() if name != "space"},
        "mask": args.mask,
        "aligned": args.align,
        "class": args.label,
        "precision": str(half or torch.float32).removeprefix("torch."),
        "device": on.type,
        "torch": torch.__version__,
    }
    mask = face_mask(G.img_resolution).to(on) if args.mask else None
    return _Job(args, loaded, G, see, embed, search, mask, half, protocol)


# -- targets


def _targets(args: argparse.Namespace, G: nn.Module, control: int | None) -> Iterator[tuple[str, Tensor, str]]:
    """Name, uint8 [3, H, W] of the model's size, and what was done to it."""
    from facegen.data.photos import align
    from facegen.latent.sample import sample

    if control is not None:
        yield f"seed{control}", sample(G, [control], labels=args.label)[0], f"the model's own face of seed {control}"
        return
    with ExitStack() as stack:
        source = Path(args.target)
        if args.align:
            aligned = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "aligned"
            print(replace(align(source, aligned, max(16, G.img_resolution)), dest=source))
            source = aligned
        yield from _pictures(source, G.img_resolution, "aligned" if args.align else "as given")


def _pictures(source: Path, size: int, note: str) -> Iterator[tuple[str, Tensor, str]]:
    import numpy as np
    import torch
    from PIL import Image

    from facegen.data.faces import safe_name
    from facegen.data.pictures import Source, Unusable, decode

    taken: set[str] = set()
    with Source(source, single=True) as opened:
        for name in opened.names:
            try:
                image, _ = decode(opened.read(name))
            except Unusable as error:
                raise InputError(f"{name}: {error}: leave it out") from None
            if image.width != image.height:
                raise InputError(
                    f"{name}: {image.width}x{image.height} pixels are no square: give --align, which frames the face as the "
                    "model's pictures are framed, or crop it yourself"
                )
            if image.width < size:
                note = f"{note}, enlarged from {image.width} pixels"
                print(f"facegen: {name}: {image.width} pixels are fewer than the model's {size}: enlarged", file=sys.stderr)
            image = image.resize((size, size), Image.Resampling.LANCZOS)
            pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
            yield safe_name(name, "", taken), pixels, note


# -- one target


def _one(job: _Job, name: str, target: Tensor, note: str, folder: Path) -> None:
    from facegen.latent.scores import far_from_model, table
    from facegen.show import save_image
    from facegen.show.video import SYNTHETIC

    args, start = job.args, time.perf_counter()
    folder.mkdir(exist_ok=True)
    reach = far_from_model(job.G, target, job.see, labels=args.label)
    if reach.warning:
        print(f"facegen: {name}: {reach.warning}", file=sys.stderr)
    found, rows = _search(job, target)
    save_image(target, folder / "target.png", synthetic=SYNTHETIC if _control_seed(args.target) is not None else "")
    for space, result in found.items():
        place = folder / space if args.space == "ladder" else folder
        _write(job, space, result, place)
    facts = {
        "target": {"name": name, "note": note},
        "scores": [{k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(row).items()} for row in rows],
        "reach": {**asdict(reach), "far": reach.is_far, "warning": reach.warning},
        "seconds": round(time.perf_counter() - start, 1),
        "protocol": job.protocol,
    }
    with replacing(folder / "scores.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    print(f"{name} ({note}): {facts['seconds']:.0f} s\n{table(rows)}")


def _search(job: _Job, target: Tensor) -> tuple[dict[str, Projection], list[Scores]]:
    from facegen.latent.project import project
    from facegen.latent.scores import ladder, score

    total = job.search.steps + (job.search.tune_steps if job.args.space in ("pti", "ladder") else 0)
    common = {"perceptual": job.see, "search": job.search, "mask": job.mask, "labels": job.args.label, "dtype": job.dtype}
    common["keep_every"] = max(1, total // FILM_FRAMES)
    if job.args.space == "ladder":
        return ladder(job.G, target, embed=job.embed, **common)
    result = project(job.G, target, **common)
    row = score(result, perceptual=job.see, space=job.args.space, embed=job.embed, mask=job.mask, before=job.G)
    return {job.args.space: result}, [row]


def _write(job: _Job, space: str, result: Projection, folder: Path) -> None:
    from facegen.latent.project import save_latents
    from facegen.models.pretrained import save
    from facegen.show import save_image
    from facegen.show.video import SYNTHETIC, save_frames

    folder.mkdir(exist_ok=True)
    save_latents(folder / "projected_w.npz", result.ws)
    save_image(result.image, folder / "result.png", synthetic=SYNTHETIC)
    if space == "pti" or job.search.learn_noise:
        info = {"projected_from": job.protocol["network"], "projected_from_sha256": job.protocol["network_sha256"]}
        if isinstance(licence := job.loaded.info.get("licence"), str):
            info["licence"] = licence
        save(folder / "network.safetensors", result.G, None, info)
    if job.args.save_video:
        save_frames([_beside(result)], folder / "search.mp4", width=FILM_WIDTH)


def _beside(result: Projection) -> Tensor:
    """The film's frames, uint8 [K, 3, H, 2 W]: the target, and the search with its end for a second."""
    import torch

    frames = torch.cat([result.frames, result.image[None].expand(FILM_REST, -1, -1, -1)])
    return torch.cat([result.target.expand_as(frames), frames], dim=3)

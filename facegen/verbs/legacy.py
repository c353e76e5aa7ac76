"""The verbs that are still declared with argparse, until facegen/cli/measure.py has them."""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facegen.files import InputError
from facegen.verbs.audit import add_audit
from facegen.verbs.common import add_verb, check_folder, check_picture
from facegen.verbs.diagnose import add_diagnose
from facegen.verbs.evaluate import add_evaluate
from facegen.verbs.search import add_search

if TYPE_CHECKING:
    from torch import Tensor

    from facegen.show.figures import Chart

NAMES = ("spectra", "compare", "search", "evaluate", "diagnose", "audit")


def run(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="facegen")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    for add in (_add_spectra, _add_compare, add_search, add_evaluate, add_diagnose, add_audit):
        add(verbs)
    args = parser.parse_args(argv)
    return args.verb(args)


def _save_chart(chart: Chart, path: Path) -> None:
    from PIL import Image

    from facegen.show.grids import save_image

    save_image(Image.open(io.BytesIO(chart.png())).convert("RGB"), path)


def _add_spectra(verbs) -> None:
    parser = add_verb(
        verbs,
        "spectra",
        _spectra,
        "compare the frequencies of generated pictures with those of real ones",
        "facegen spectra --data data/congress --network runs/sg2/network.safetensors --out spectra.png",
    )
    parser.add_argument("--data", required=True, metavar="DIR|ZIP|drawn:N", help="real pictures")
    text = "a network to make pictures with; may be given several times"
    parser.add_argument("--network", action="append", default=[], metavar="FILE|URL|NAME", help=text)
    text = "or pictures that were generated before, at best of that size: scaling changes spectra; may be given several times"
    parser.add_argument("--images", action="append", default=[], metavar="DIR|ZIP", help=text)
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="at most so many pictures of each")
    parser.add_argument("--out", type=Path, default=Path("spectra.png"), metavar="FILE", help=".png, .jpg or .webp")
    text = "side of the pictures (default: the first network's, or that of the pictures in --images)"
    parser.add_argument("--size", type=int, metavar="N", help=text)
    parser.add_argument("--trunc", type=float, default=1.0, metavar="PSI", help="truncation (StyleGAN)")
    parser.add_argument("--class", dest="label", type=int, metavar="K", help="which class, for a network that has classes")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")


def _spectra(args: argparse.Namespace) -> int:
    check_picture("--out", args.out)
    if not 1 <= len(args.network) + len(args.images) <= 7:
        raise InputError("give 1 to 7 sets to compare with --data: --network FILE or --images DIR, each as often as you like")
    if args.count < 2:
        raise InputError(f"--count {args.count}: give at least 2")

    from facegen.config import device
    from facegen.data.packed import common_size, load_faces
    from facegen.evaluation.spectra import distance, halves, spectrum
    from facegen.latent.sample import sample
    from facegen.models.pretrained import load
    from facegen.models.published import network_file
    from facegen.show.spectra import show_spectra
    from facegen.show.text import table

    on = device(args.device)
    nets = {name: load(network_file(name)).G for name in args.network}
    sizes = [getattr(G, "img_resolution", None) for G in nets.values()]
    size = args.size or (sizes[0] if sizes else common_size(args.images[0]))
    for name, own in zip(nets, sizes):
        if own is not None and own != size:
            raise InputError(f"{name} makes pictures of {own} pixels, not {size}: compare networks of one size")
    real_pictures = _some(load_faces(args.data, size).images, args.count)
    sets = {}
    for name, G in nets.items():
        sets[name] = spectrum(sample(G.to(on), range(args.count), trunc=args.trunc, labels=args.label))
    for name in args.images:
        sets[name] = spectrum(_some(load_faces(name, size).images, args.count))
    real, chance = spectrum(real_pictures), halves(real_pictures)
    short = _short_names(sets)
    _save_chart(show_spectra(real, {short[name]: one for name, one in sets.items()}, chance), args.out)
    rows = [[name, one.pictures, distance(one, real), float((one.db - real.db).abs().max())] for name, one in sets.items()]
    rows.append([f"{args.data}, half against half", chance[0].pictures, distance(*chance), None])
    print(table(rows, ["pictures", "number", "distance, dB", "largest, dB"]))
    print(f"{args.out}: against {real.pictures} real pictures of {size} pixels; mean over high, largest over all frequencies")
    return 0


def _some(images: Tensor, count: int) -> Tensor:
    """`count` pictures at random but always the same, because the first by name are often of one kind."""
    import torch

    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:count].sort().values]


def _short_names(names: Iterable[str]) -> dict[str, str]:
    """For a legend: a file's name without its suffix, or its run's where it is a run's last network; all different."""
    paths = {name: Path(name) for name in names}
    short = {name: path.parent.name if path.stem == "network" else path.stem for name, path in paths.items()}
    return {name: text[-40:] if list(short.values()).count(text) == 1 else name[-40:] for name, text in short.items()}


def _kind(field: dataclasses.Field) -> Callable[[str], object]:
    """What makes a setting's value of the text that was typed."""
    return {"int": int, "float": float, "str": str, "bool": _yes_no}[field.type]


def _yes_no(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither 0 nor 1")


def _add_compare(verbs) -> None:
    parser = add_verb(
        verbs,
        "compare",
        _compare,
        "train several recipes with several seeds on the same pictures, and compare them at equal kimg and at equal time",
        "facegen compare --data faces64.zip --cfgs dcgan,stylegan2,stylegan3-t,stylegan3-r --kimg 1000 --seeds 3 --mirror=1",
    )
    text = "pictures, or N faces drawn by the package itself"
    parser.add_argument("--data", default="drawn:8192", metavar="DIR|ZIP|drawn:N", help=text)
    parser.add_argument("--cfgs", default="dcgan,stylegan2,stylegan3-t,stylegan3-r", metavar="LIST", help="the recipes")
    parser.add_argument("--kimg", type=float, required=True, metavar="X", help="length of each run in thousands of pictures")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each recipe")
    parser.add_argument("--outdir", type=Path, default=Path("runs/compare"), metavar="DIR", help="continued if it is there")
    text = "thousands of pictures between two snapshots, all of which are measured (default: 20 in each run)"
    parser.add_argument("--snap", type=float, metavar="KIMG", help=text)
    text = "fakes per measurement, at most half as many as there are pictures"
    parser.add_argument("--samples", type=int, default=2000, metavar="N", help=text)
    parser.add_argument("--features", default="lite0", metavar="NAME", help="what pictures are compared by: lite0 or inception")
    parser.add_argument("--max-images", type=int, metavar="N", help="use only the first N pictures")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")
    group = parser.add_argument_group("settings of every recipe that has them (default: the recipe's own)")
    group.add_argument("--image-size", type=int, default=64, metavar="N", help="pixels")
    group.add_argument("--mirror", type=_yes_no, default=False, metavar="0|1", help="1: flip half of the real pictures")
    group.add_argument("--batch", type=int, metavar="N", help="pictures per step")
    group.add_argument("--cbase", type=int, metavar="N", help="width of the StyleGANs at 1 pixel")
    group.add_argument("--cmax", type=int, metavar="N", help="greatest width of the StyleGANs")
    group.add_argument("--precision", metavar="WORD", help="auto, float32 or bfloat16")
    text = "any other setting of one recipe, such as dcgan.conv_dim=32; may be given several times"
    group.add_argument("--set", action="append", metavar="CFG.NAME=VALUE", help=text)


def _compare(args: argparse.Namespace) -> int:
    check_folder("--outdir", args.outdir)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("compare runs in one process, so that all its times are taken alike: start it without torchrun")

    from facegen.config import device
    from facegen.data import load_faces
    from facegen.data.pictures import table
    from facegen.evaluation.compare import Comparison, check_settings, chosen_configs, compare
    from facegen.evaluation.features import load_features
    from facegen.show.comparison import verdicts, write_report

    configs, on = chosen_configs(args.cfgs, vars(args), args.set or []), device(args.device)
    step = max((config.images_per_step for config in configs.values()), default=1) / 1000
    snap = max(args.kimg / 20, step) if args.snap is None else args.snap
    check_settings(configs, args.seeds, snap)  # before the pictures are decoded
    faces = load_faces(args.data, args.image_size, max_images=args.max_images)
    if faces.report:
        print(table(faces.report))
    features = load_features(args.features, on)
    planned = len(configs) * args.seeds
    print(f"{len(faces)} pictures from {faces.name}; {planned} runs of {args.kimg:g} kimg on {on}")

    def report(so_far: Comparison) -> None:
        run, page = so_far.runs[-1], write_report(so_far, faces, args.outdir, command=_command("compare", args), device=on)
        last = f"KID x 1000 is {run.snapshots[-1].kid * 1000:.3g}" if run.finished else run.failed
        print(f"{len(so_far.runs)} of {planned}: {run.cfg}, seed {run.seed}: {last}; {page}")

    found = compare(
        faces, configs, args.outdir, features, seeds=args.seeds, snap_kimg=snap, samples=args.samples, device=on, on_run=report
    )
    print("\n".join([*verdicts(found), f"done: {args.outdir / 'index.html'}, {args.outdir / 'table.md'}"]))
    return 0


def _command(verb: str, args: argparse.Namespace) -> str:
    """The command with every flag that has a value, so that it does the same where defaults are others."""
    import shlex

    words = ["facegen", verb]
    for name, value in vars(args).items():
        if name != "verb" and value is not None:
            shown = [int(value)] if isinstance(value, bool) else value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}={item}" for item in shown]
    return shlex.join(words)

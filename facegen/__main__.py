"""The command line: `facegen VERB ...`, the same as `python -m facegen VERB ...`. One verb per job.

The modules that a verb needs are imported inside it, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facegen import __version__
from facegen.files import InputError, one_line
from facegen.verbs.audit import add_audit
from facegen.verbs.common import GRID_SIDE, add_verb, check_file, check_folder, check_picture, pair_of, seeds_of
from facegen.verbs.diagnose import add_diagnose
from facegen.verbs.edit import add_editing
from facegen.verbs.evaluate import add_evaluate
from facegen.verbs.grade import add_grade
from facegen.verbs.project import add_project
from facegen.verbs.search import add_search
from facegen.verbs.student import add_bank, add_student

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from facegen.config import CycleConfig, StyleConfig, TrainConfig
    from facegen.data.unpaired import Unpaired
    from facegen.show.figures import Chart
    from facegen.training.cyclegan import CycleGAN
    from facegen.training.fit import Snapshot
    from facegen.training.steps import GAN
    from facegen.training.stylegan import StyleGAN


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0, 1 for a run that failed, 2 for input that cannot be used, 130 for Ctrl-C.

    FACEGEN_DEBUG=1 shows the traceback behind a one-line error.
    """
    argv = _joined(sys.argv[1:] if argv is None else list(argv))
    args = _parser(_recipe(argv)).parse_args(argv)
    try:
        return args.verb(args)
    except KeyboardInterrupt as stop:
        print(f"facegen: {stop}" if str(stop) else "facegen: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as in `facegen data list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (InputError, OSError, RuntimeError) as error:
        if os.environ.get("FACEGEN_DEBUG"):
            raise
        print(f"facegen: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, (InputError, OSError)) else 1


def _joined(argv: list[str]) -> list[str]:
    """["--translate", "-0.1,0"] -> ["--translate=-0.1,0"], because argparse takes -0.1,0 and -1e3 for flags."""
    joined: list[str] = []
    for word in argv:
        if joined and joined[-1].startswith("--") and "=" not in joined[-1] and word.startswith("-") and _is_numbers(word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _is_numbers(text: str) -> bool:
    try:
        return all(isinstance(float(part), float) for part in text.split(","))
    except ValueError:
        return False


def _recipe(argv: Sequence[str]) -> str | None:
    """Which recipe's flags `train` takes, by --cfg; None where nobody wants to train."""
    if "train" not in argv:
        return None
    following = zip(argv, [*argv[1:], ""])
    named = [word[6:] if word.startswith("--cfg=") else after for word, after in following if word.split("=")[0] == "--cfg"]
    return named[-1] if named else "dcgan"


def _parser(recipe: str | None = "dcgan") -> argparse.ArgumentParser:
    """The parser of every verb; that of `train` with the flags of one recipe, or without any."""
    parser = argparse.ArgumentParser(
        prog="facegen",
        description="Generate faces with GANs: get pictures, train on them, make new faces.",
        epilog="Start with: facegen train --outdir runs/first",
    )
    parser.add_argument("--version", action="version", version=f"facegen {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_data(verbs)
    _add_dataset(verbs)
    train = _add_train(verbs)
    if recipe:
        _add_train_flags(train, recipe)
    for add in (_add_generate, _add_fakes, _add_portrait, _add_spectra, _add_align, _add_prepare, _add_translate, _add_gallery):
        add(verbs)
    add_project(verbs)
    add_editing(verbs)
    _add_compare(verbs)
    add_search(verbs)
    add_evaluate(verbs)
    add_diagnose(verbs)
    add_audit(verbs)
    for add in (_add_convert, _add_info, _add_models, _add_course):
        add(verbs)
    add_student(verbs)
    add_grade(verbs)
    add_bank(verbs)
    return parser


# -- data


def _add_data(verbs) -> None:
    parser = verbs.add_parser("data", help="list the known sets of faces, or fetch one", description="Known sets of faces.")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    add_verb(actions, "list", _data_list, "show every known set with contents, size, licence, terms and citation")
    fetch = add_verb(
        actions, "fetch", _data_fetch, "download a set, check every byte, unpack it", "facegen data fetch congress"
    )
    fetch.add_argument("name", metavar="NAME", help="a name from `facegen data list`")
    fetch.add_argument("--dest", type=Path, metavar="DIR", help="where to put it (default: data/NAME)")
    fetch.add_argument("--archive", type=Path, metavar="FILE", help="use this file that you downloaded yourself")


def _data_list(args: argparse.Namespace) -> int:
    from facegen.data.sources import table

    print(table())
    return 0


def _data_fetch(args: argparse.Namespace) -> int:
    from facegen.data.sources import fetch

    print(fetch(args.name, args.dest, archive=args.archive))
    return 0


def _add_dataset(verbs) -> None:
    parser = add_verb(
        verbs,
        "dataset",
        _dataset,
        "pack a folder or zip of pictures into a data set that StyleGAN's tools read too",
        "facegen dataset --source data/congress --dest faces64.zip --resolution=64x64 --transform=center-crop",
        aliases=["dataset_tool"],
    )
    parser.add_argument("--source", required=True, type=Path, metavar="DIR|ZIP", help="the pictures, nested folders are fine")
    parser.add_argument("--dest", required=True, type=Path, metavar="FILE.zip|DIR", help="what to write")
    parser.add_argument("--resolution", metavar="WxH", help="size of the packed pictures, such as 64x64")
    parser.add_argument("--transform", choices=["center-crop", "center-crop-wide"], help="how to fit other shapes")
    parser.add_argument("--max-images", type=int, metavar="N", help="take only the first N pictures")


def _dataset(args: argparse.Namespace) -> int:
    from facegen.data import pack

    report = pack(args.source, args.dest, resolution=args.resolution, transform=args.transform, max_images=args.max_images)
    print(report)
    return 0


# -- train


def _add_train(verbs) -> argparse.ArgumentParser:
    parser = add_verb(
        verbs,
        "train",
        _train,
        "train a generator on faces; run the same command again to continue an interrupted run",
        "facegen train --cfg=dcgan --data data/congress --outdir runs/congress --mirror=1 --augment=color,translation",
    )
    parser.allow_abbrev = False  # `_recipe` knows --cfg by its whole name only
    return parser


EXAMPLES = {
    "faces": "facegen train --cfg={} --data data/congress --outdir runs/congress --mirror=1 --augment=color,translation",
    "unpaired": "facegen train --cfg={} --data data/face2fake --outdir runs/face2fake --keep-epochs=10",
    "styles": "facegen train --cfg={} --data faces64.zip --outdir runs/style --mirror=1 --gamma=0.5 --kimg=1000 --cbase=16384",
}


def _add_train_flags(parser: argparse.ArgumentParser, recipe: str) -> None:
    from facegen.config import RECIPES, CycleConfig, StyleConfig  # imports PyTorch, which takes a second or two

    start = RECIPES.get(recipe, RECIPES["dcgan"])
    unpaired, styled = isinstance(start, CycleConfig), isinstance(start, StyleConfig)
    parser.epilog = f"Example: {EXAMPLES['styles' if styled else 'unpaired' if unpaired else 'faces'].format(recipe)}"
    parser.add_argument("--outdir", required=True, type=Path, metavar="DIR", help="the run's folder")
    parser.add_argument("--cfg", choices=sorted(RECIPES), default="dcgan", help="the recipe; --cfg=NAME --help shows its flags")
    if unpaired:
        text = "a folder with trainA and trainB, see `facegen prepare-unpaired`, or N drawn faces in each domain"
        parser.add_argument("--data", default="drawn:1000", metavar="DIR|drawn:N", help=text)
        text = "keep the networks of every Nth epoch for `translate` and `gallery`; 0 chooses about 20 epochs"
        parser.add_argument("--keep-epochs", type=int, default=0, metavar="N", help=text)
        parser.add_argument("--reframe", action="store_true", help="frame the faces of both domains alike before training")
        parser.add_argument("--no-framing-check", action="store_true", help="do not compare how faces are framed")
    else:
        text = "pictures, or N faces drawn by the package itself"
        parser.add_argument("--data", default="drawn:8192", metavar="DIR|ZIP|drawn:N", help=text)
        if styled:
            _add_style_flags(parser)
        else:
            text = "thousands of pictures between snapshots"
            parser.add_argument("--snap", type=float, default=10.0, metavar="KIMG", help=text)
        text = "keep the networks of every Nth snapshot, for `portrait`; 0 keeps none"
        parser.add_argument("--keep-networks", type=int, default=0, metavar="N", help=text)
    parser.add_argument("--max-images", type=int, metavar="N", help="use only the first N pictures")
    parser.add_argument("--keep", default="last:2", help="which checkpoints stay: all, last:K or every:N")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard event files")
    parser.add_argument("--new", action="store_true", help="refuse to continue a run that is already in --outdir")
    parser.add_argument("--dry-run", action="store_true", help="print the settings and stop")
    group = parser.add_argument_group(f"settings (in brackets: what --cfg={recipe} has)")
    for field in dataclasses.fields(start):
        if field.name != "architecture":  # which --cfg names
            explained = SETTING_HELP | (CYCLE_HELP if unpaired else STYLE_HELP if styled else {})
            _add_setting(group, field, getattr(start, field.name), explained)


def _add_style_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the official command line that are no settings."""
    parser.add_argument("--snap", type=float, default=50.0, metavar="TICKS", help="ticks between snapshots")
    parser.add_argument("--tick", type=float, default=4.0, metavar="KIMG", help="thousands of pictures in a tick")
    parser.add_argument("--gpus", type=int, default=1, metavar="N", help="processes to start, one for each GPU")
    parser.add_argument("--metrics", choices=["none"], default="none", help="during training")
    text = "begin with the networks of this file or run; other sizes of picture too"
    parser.add_argument("--resume", metavar="FILE|RUN|URL|NAME", help=text)


# What each setting means, for a person who has not read the code.
SETTING_HELP = {
    "image_size": "pixels: 32, 64 or 128",
    "z_size": "length of the noise vector",
    "conv_dim": "width of the networks; twice as wide is four times the work",
    "norm_G": "batch, instance, spectral or none",
    "norm_D": "batch, instance, spectral or none",
    "slope": "of D's leaky ReLU",
    "padding_mode": "zeros, reflect, replicate or circular",
    "init": "normal, xavier, kaiming or orthogonal",
    "loss": "bce, lsgan, hinge, wgan, wgan-gp or relativistic",
    "smooth": "1: real targets are 0.9 (bce, lsgan)",
    "clip": "wgan: D's weights stay within +-CLIP",
    "gp_weight": "wgan-gp: weight of the gradient penalty",
    "r1_gamma": "R1 penalty on real pictures, 0 is off",
    "r2_gamma": "R2 penalty on fakes, 0 is off",
    "penalty_every": "penalties only every N-th step, N times as strong",
    "d_steps": "D steps per G step",
    "augment": "for small sets: color,translation,cutout, or none",
    "mirror": "1: flip half of the real pictures",
    "batch": "pictures per step",
    "kimg": "length of the run in thousands of real pictures shown",
    "lr_G": "Adam's learning rate for G",
    "lr_D": "Adam's learning rate for D",
    "beta1": "Adam's first beta",
    "beta2": "Adam's second beta",
    "schedule": "of the learning rates: constant, linear or cosine",
    "warmup_kimg": "thousands of pictures over which the rates rise from 0",
    "ema_kimg": "half-life of the averaged generator, 0 is off",
    "precision": "auto, float32 or bfloat16",
    "seed": "of everything random",
}


# The same for --cfg=cyclegan, where it differs.
CYCLE_HELP = {
    "image_size": "pixels, a multiple of 4",
    "load_size": "pixels at which pictures are loaded, to be cropped at random",
    "generator": "resnet6, resnet9 (N blocks), unet128 or unet256",
    "width": "of the generators; twice as wide is four times the work",
    "width_D": "of the discriminators",
    "layers_D": "of the PatchGAN: 3 sees 70 pixels; 0 sees single pixels",
    "norm": "instance or batch",
    "loss": "lsgan, vanilla or wgangp",
    "gp_weight": "wgangp: weight of the gradient penalty",
    "lambda_A": "weight of the cycle A to B to A",
    "lambda_B": "weight of the cycle B to A to B",
    "lambda_identity": "weight of the identity loss, as a share of the cycle's",
    "lambda_face": "weight of the face-identity loss, 0 is off",
    "face_model": "what compares faces: drawn, or the file of a model that you have",
    "pool": "past fakes that D is shown, 0 is off",
    "mirror": "1: flip half of the pictures",
    "batch": "pictures of each domain per step",
    "epochs": "at the full learning rate",
    "epochs_decay": "while the rate falls to 0",
    "lr": "Adam's learning rate",
}


# And for --cfg=stylegan2, stylegan3-t and stylegan3-r.
STYLE_HELP = {
    "image_size": "pixels: 8, 16, 32, 64, ...; without it that of the pictures in --data",
    "cbase": "width of the networks at 1 pixel: half as much is a quarter of the work",
    "cmax": "greatest width",
    "z_dim": "length of the noise z",
    "w_dim": "length of the style w",
    "map_depth": "layers of the mapping network, 0: 8 for stylegan2, 2 for stylegan3",
    "layers": "of stylegan3's synthesis, 0: 14; fewer are faster",
    "freezed": "first layers of D that do not learn",
    "cond": "1: use the data set's labels",
    "loss": "logistic, or relativistic",
    "gamma": "weight of R1 on real pictures; below 0: by size and batch",
    "r2_gamma": "weight of the same on fakes",
    "r1_interval": "R1 and R2 only every N-th step, N times as strong",
    "pl_weight": "weight of path-length regularisation",
    "pl_interval": "it only every N-th step",
    "style_mixing": "chance of mixing the styles of two faces",
    "aug": "for small sets: ada (adaptive), fixed, diffaug or noaug",
    "ada_kimg": "ada: thousands of pictures in which p can rise from 0 to 1",
    "target": "ada: mean sign of D on real pictures that is aimed at",
    "p": "fixed: how likely each augmentation is",
    "augpipe": "which augmentations: blit, geom, color, bg, bgc, ..., bgcfnc",
    "batch_gpu": "pictures that go through the networks at once, 0: all, or what fits",
    "glr": "Adam's learning rate for G",
    "dlr": "Adam's learning rate for D",
    "ema_kimg": "half-life of the averaged generator; below 0: by batch",
    "ema_rampup": "and at most this share of the pictures shown so far",
    "blur_kimg": "stylegan3-r: thousands of pictures in which its blur of the first pictures fades; below 0: by batch",
}


def _add_setting(group, field: dataclasses.Field, value: object, explained: dict[str, str]) -> None:
    kind = _kind(field)
    flag = "--" + field.name.replace("_", "-")
    names = [flag] if flag == flag.lower() else [flag, flag.lower()]
    metavar = {"int": "N", "float": "X", "str": "WORD", "bool": "0|1"}[field.type]
    shown = int(value) if isinstance(value, bool) else value or "none" if isinstance(value, str) else value
    text = f"{explained[field.name]} [{shown}]"
    # Without a default of its own, a flag that is not given is absent, and the recipe's value stands.
    group.add_argument(*names, dest=field.name, type=kind, metavar=metavar, default=argparse.SUPPRESS, help=text)


def _kind(field: dataclasses.Field) -> Callable[[str], object]:
    """What makes a setting's value of the text that was typed."""
    return {"int": int, "float": float, "str": str, "bool": _yes_no}[field.type]


def _yes_no(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither 0 nor 1")


def _train(args: argparse.Namespace) -> int:
    from facegen.config import RECIPES, CycleConfig, StyleConfig
    from facegen.training import processes
    from facegen.training.fit import parse_keep

    recipe = RECIPES[args.cfg]
    given = {field.name: getattr(args, field.name) for field in dataclasses.fields(recipe) if hasattr(args, field.name)}
    chosen = dataclasses.replace(recipe, **given)
    parse_keep(args.keep)  # before the pictures are decoded
    check_folder("--outdir", args.outdir)
    styled = isinstance(chosen, StyleConfig)
    if styled and args.gpus != 1 and processes.count() == 1 and not args.dry_run and "WORLD_SIZE" not in os.environ:
        return _start_processes(args.gpus)
    args.device = processes.join(args.device)
    # Of several processes one speaks.
    quiet = contextlib.redirect_stdout(io.StringIO()) if processes.rank() else contextlib.nullcontext()
    try:
        with quiet:
            if styled:
                return _train_style(args, chosen, "image_size" in given)
            return _train_unpaired(args, chosen) if isinstance(chosen, CycleConfig) else _train_faces(args, chosen)
    finally:
        processes.leave()


def _start_processes(gpus: int) -> int:
    """This command again, in as many processes as there shall be; their exit code."""
    import subprocess

    if gpus < 1:
        raise InputError(f"--gpus {gpus}: give at least 1")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}"]
    return subprocess.run([*launcher, "-m", "facegen", *sys.argv[1:]], check=False).returncode


def _train_style(args: argparse.Namespace, chosen: StyleConfig, sized: bool) -> int:
    from facegen.config import device
    from facegen.data import load_faces
    from facegen.data.packed import common_size, drawn_count
    from facegen.data.pictures import table
    from facegen.training.fit import fit
    from facegen.training.stylegan import stylegan_from
    from facegen.training.symptoms import RunWatch

    on = device(args.device)
    if not sized and drawn_count(args.data, 1) is None:
        chosen = dataclasses.replace(chosen, image_size=common_size(args.data))
    if args.resume:  # as the official tools: what the model has learned need not be found again slowly
        start = {"ada_kimg": 100.0, "ema_rampup": 0.0}
        chosen = dataclasses.replace(chosen, **{name: value for name, value in start.items() if not hasattr(args, name)})
    if args.dry_run:
        method = stylegan_from(chosen, on)
        _print_settings(chosen, method, chosen.steps)
        if args.resume:
            _take_over(method, args.resume)
        return 0
    faces = load_faces(args.data, chosen.image_size, max_images=args.max_images, seed=chosen.seed)
    if faces.report:
        print(table(faces.report))
    classes = 0 if faces.labels is None else int(faces.labels.max()) + 1
    method = stylegan_from(chosen, on, classes)
    if args.resume:
        _take_over(method, args.resume)
    print(f"{len(faces)} pictures from {faces.name}; {chosen.steps} steps of {chosen.batch} on {on}")
    fit(
        method,
        faces,
        args.outdir,
        snap_kimg=args.snap * args.tick,
        keep=args.keep,
        keep_networks=args.keep_networks,
        resume=not args.new,
        on_snapshot=RunWatch(faces.images, chosen.loss),
        tensorboard=args.tensorboard,
    )
    print(f"done: {args.outdir / 'network.safetensors'}, pictures in {args.outdir / 'samples'}")
    return 0


def _take_over(method: StyleGAN, network: str) -> None:
    """Begin with the networks of a file: ours or an official one, of this or another size."""
    from facegen.models.pretrained import load
    from facegen.models.published import network_file
    from facegen.training.stylegan import transfer

    loaded = load(network_file(Path(network) / "network.safetensors" if Path(network).is_dir() else network))
    new = {"G": transfer(loaded.G, method.G)}
    transfer(loaded.G, method.G_ema)
    if loaded.D is None:
        print(f"{network} has no D: it begins anew")
    else:
        new["D"] = transfer(loaded.D, method.D)
    if {name for name, _ in method.G.synthesis.named_parameters()} <= {name.removeprefix("synthesis.") for name in new["G"]}:
        raise InputError(f"{network}: none of its weights fits {method.config.architecture}: give a network of that kind")
    for part, names in new.items():
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        print(f"{part}: {f'new are {shown}' if names else 'all weights taken over'}")


def _train_faces(args: argparse.Namespace, chosen: TrainConfig) -> int:
    from facegen.config import device
    from facegen.data import load_faces
    from facegen.data.pictures import table
    from facegen.training.fit import fit
    from facegen.training.steps import dcgan_from
    from facegen.training.symptoms import RunWatch

    method = dcgan_from(chosen, device(args.device))
    if args.dry_run:
        _print_settings(chosen, method, chosen.steps)
        return 0
    faces = load_faces(args.data, chosen.image_size, max_images=args.max_images, seed=chosen.seed)
    if faces.report:
        print(table(faces.report))
    print(f"{len(faces)} pictures from {faces.name}; {chosen.steps} steps of {chosen.batch} on {method.device}")
    fit(
        method,
        faces,
        args.outdir,
        snap_kimg=args.snap,
        keep=args.keep,
        keep_networks=args.keep_networks,
        resume=not args.new,
        on_snapshot=RunWatch(faces.images, chosen.loss),
        tensorboard=args.tensorboard,
    )
    print(f"done: {args.outdir / 'network.safetensors'}, pictures in {args.outdir / 'samples'}")
    return 0


def _print_settings(chosen: TrainConfig | CycleConfig | StyleConfig, method: GAN | CycleGAN | StyleGAN, steps: object) -> None:
    for name, value in dataclasses.asdict(chosen).items():
        print(f"{name:15} {value}")
    print(f"{'device':15} {method.device}, {method.dtype or 'torch.float32'}\n{'steps':15} {steps}")


FOLLOWED = 16  # people whose translations are followed through a run


def _train_unpaired(args: argparse.Namespace, chosen: CycleConfig) -> int:
    from facegen.config import device
    from facegen.data.framing import framing_lines
    from facegen.data.pictures import table
    from facegen.data.unpaired import load_unpaired, reframed
    from facegen.training.cyclegan import cyclegan_from
    from facegen.training.fit import fit

    on, epochs = device(args.device), chosen.epochs + chosen.epochs_decay
    if args.keep_epochs < 0:
        raise InputError(f"--keep-epochs {args.keep_epochs}: give 1 for every epoch, 10 for every tenth, or 0")
    face = _face_loss(chosen, on)
    method = cyclegan_from(chosen, 1, on, face)  # settings that fit no network are refused before the pictures are decoded
    if args.dry_run:
        _print_settings(chosen, method, f"{epochs} epochs")
        return 0
    data = load_unpaired(args.data, chosen.load_size, chosen.image_size, max_images=args.max_images, seed=chosen.seed)
    if data.report:
        print(table(data.report))
    if args.reframe:
        data = reframed(data)
        print("framing: the faces of both domains are framed alike now")
    elif not args.no_framing_check:
        print("\n".join(framing_lines(data)))
    steps = data.steps_per_epoch(chosen.batch)
    method = cyclegan_from(chosen, steps, on, face)
    print(f"{len(data.A)} pictures of A, {len(data.B)} of B; {epochs} epochs of {steps} steps of {chosen.batch} on {on}")
    fit(
        method,
        data,
        args.outdir,
        snap_kimg=steps * chosen.batch / 1000,
        samples=FOLLOWED,
        keep=args.keep,
        keep_networks=args.keep_epochs or max(1, epochs // 20),
        resume=not args.new,
        on_snapshot=_watch(method, data, chosen),
        tensorboard=args.tensorboard,
    )
    print(f"done: look with `facegen gallery {args.outdir}`, use with `facegen translate --network {args.outdir} ...`")
    return 0


def _face_loss(chosen: CycleConfig, on: torch.device) -> Callable[[Tensor, Tensor], Tensor] | None:
    """The distance between faces that the settings ask for."""
    from facegen.models.identity import LEAST_SIDE, face_distance, load_identity

    if not chosen.lambda_face:
        return None
    if chosen.image_size < LEAST_SIDE:
        raise InputError(
            f"lambda_face={chosen.lambda_face:g} with image_size={chosen.image_size}: faces are compared from {LEAST_SIDE} "
            "pixels on, make the pictures larger or set lambda_face to 0"
        )
    return face_distance(load_identity(chosen.face_model).to(on))


def _watch(method: CycleGAN, data: Unpaired, chosen: CycleConfig) -> Callable[[Snapshot], None] | None:
    """The hook that raises alarms during training, if there are people enough to follow."""
    from facegen.models.identity import load_identity
    from facegen.training.diagnose import Watch

    embed = load_identity(chosen.face_model) if chosen.lambda_face else None
    try:
        return Watch(method.fixed(data, FOLLOWED).cpu(), chosen.loss, embed)
    except InputError as error:
        print(f"no alarms during training: {error}")
        return None


# -- generate


def _add_generate(verbs) -> None:
    parser = add_verb(
        verbs,
        "generate",
        _generate,
        "make faces with a trained network",
        "facegen generate --network runs/congress/network.safetensors --seeds 0-63 --grid faces.png",
    )
    parser.add_argument(
        "--network", required=True, metavar="FILE|URL|NAME", help="a network file, its address, or a name of `facegen models`"
    )
    parser.add_argument("--seeds", default="0-63", type=seeds_of, metavar="LIST", help="one face per seed: 0-63 or 1,5,12-20")
    parser.add_argument("--grid", type=Path, metavar="FILE", help="write all faces into one picture")
    parser.add_argument("--outdir", type=Path, metavar="DIR", help="write one picture per seed into this folder")
    parser.add_argument("--scale", type=int, default=1, metavar="N", help="enlarge the grid's pictures N times")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")
    group = parser.add_argument_group("StyleGAN")
    group.add_argument(
        "--trunc", type=float, default=1.0, metavar="PSI", help="below 1: more usual and less varied faces, 0 is the mean face"
    )
    group.add_argument("--trunc-cutoff", type=int, metavar="N", help="truncate only the first N layers, not all")
    group.add_argument("--class", dest="label", type=int, metavar="K", help="which class, for a network that has classes")
    group.add_argument(
        "--noise-mode", metavar="MODE", default="const", help="StyleGAN2's noise inputs: const, random (of the seed) or none"
    )
    group.add_argument(
        "--translate", metavar="X,Y", help="StyleGAN3: move the picture right and down, in picture widths, such as -0.1,0"
    )
    group.add_argument("--rotate", type=float, metavar="DEG", help="StyleGAN3: turn the picture counter-clockwise")
    group.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="bfloat16 may be faster")


def _generate(args: argparse.Namespace) -> int:
    if not args.grid and not args.outdir:
        raise InputError("nothing to write: give --grid FILE for one picture, --outdir DIR for one per seed, or both")
    if args.grid:
        check_picture("--grid", args.grid)
    if args.outdir:
        check_folder("--outdir", args.outdir)
    if not 1 <= args.scale <= MOST_SCALE:
        raise InputError(f"--scale {args.scale}: give a whole number from 1 to {MOST_SCALE}")
    if args.trunc_cutoff is not None and args.trunc == 1:
        raise InputError("--trunc-cutoff does nothing without truncation: give --trunc PSI too, such as --trunc 0.7")
    translate = pair_of("--translate", args.translate) if args.translate is not None else None

    import torch

    from facegen.config import device
    from facegen.latent.sample import moved, sample_batches
    from facegen.models.pretrained import load
    from facegen.models.published import network_file
    from facegen.models.stylegan2 import NOISE_MODES

    if args.noise_mode not in NOISE_MODES:
        raise InputError(f"--noise-mode {args.noise_mode!r}: choose one of {', '.join(NOISE_MODES)}")
    on = device(args.device)
    G = load(network_file(args.network)).G.to(on)
    still = translate is None and args.rotate is None
    with contextlib.nullcontext() if still else moved(G, translate or (0.0, 0.0), args.rotate or 0.0):
        batches = sample_batches(
            G,
            args.seeds,
            trunc=args.trunc,
            cutoff=args.trunc_cutoff,
            labels=args.label,
            noise_mode=args.noise_mode,
            dtype=getattr(torch, args.precision),
        )
        if args.grid:
            _check_grid(args.grid, len(args.seeds), G.img_resolution, args.scale)
        _write_faces(args, batches)
    print(f"{len(args.seeds)} faces: {', '.join(str(path) for path in (args.grid, args.outdir) if path)}")
    return 0


GRID_PIXELS = 178_956_970  # pictures with more are refused by Pillow and others as a possible attack
GRID_FRAME = 2  # pixels around every face
MOST_SCALE = 64


def _check_grid(path: Path, count: int, face: int, scale: int) -> None:
    """Refuse, before the work, a grid of `count` faces of `face` pixels that could not be written, or not be opened."""
    columns = math.ceil(math.sqrt(count))
    width, height = (n * (face * scale + GRID_FRAME) + GRID_FRAME for n in (columns, math.ceil(count / columns)))
    most = GRID_SIDE[path.suffix.lower()]
    if max(width, height) > most:
        raise InputError(f"--grid {path}: {width} x {height} pixels, a {path.suffix} has at most {most}; use fewer --seeds")
    if width * height > GRID_PIXELS:
        raise InputError(f"--grid {path}: {width} x {height} pixels are too many to open again; use fewer --seeds or --outdir")


def _write_faces(args: argparse.Namespace, batches: Iterator[Tensor]) -> None:
    """Every face of --outdir as soon as it is made; the faces are kept in memory only for --grid."""
    import torch

    from facegen.show import grid, save_image
    from facegen.show.video import SYNTHETIC

    seeds, kept, written = iter(args.seeds), [], 0
    try:
        for faces in batches:
            if args.grid:
                kept.append(faces)
            for face in faces if args.outdir else ():
                save_image(grid(face[None], padding=0), args.outdir / f"seed{next(seeds):06d}.png", synthetic=SYNTHETIC)
                written += 1
        if args.grid:
            save_image(grid(torch.cat(kept), padding=GRID_FRAME, scale=args.scale), args.grid, synthetic=SYNTHETIC)
    except KeyboardInterrupt:
        where = f" in {args.outdir}" if args.outdir else ""
        left = f"{written} of {len(args.seeds)} faces are written{where}"
        raise KeyboardInterrupt(f"interrupted: {left}{', no grid' if args.grid else ''}") from None


# -- fakes, aligned faces, unpaired sets


def _add_fakes(verbs) -> None:
    parser = add_verb(
        verbs,
        "fakes",
        _fakes,
        "fill a folder with faces of a generator of which no two look alike",
        "facegen fakes --network stylegan2-ffhq-256x256 --count 2000 --dest data/fakes",
    )
    parser.add_argument(
        "--network", required=True, metavar="FILE|URL|NAME", help="a network file, its address, or a name of `facegen models`"
    )
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="how many faces")
    parser.add_argument("--dest", required=True, type=Path, metavar="DIR", help="a new folder")
    text = "truncation; below 1: more usual and less varied faces (default: 0.7 for StyleGANs, 1 for others)"
    parser.add_argument("--trunc", type=float, metavar="PSI", help=text)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first seed to try")
    parser.add_argument("--class", dest="label", type=int, metavar="K", help="which class, for a network that has classes")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")


def _fakes(args: argparse.Namespace) -> int:
    from facegen.config import device
    from facegen.latent.fakes import make_fakes
    from facegen.models.pretrained import load
    from facegen.models.published import network_file

    on = device(args.device)
    G = load(network_file(args.network)).G.to(on)
    print(make_fakes(G, args.count, args.dest, trunc=args.trunc, seed=args.seed, network=args.network, label=args.label))
    return 0


def _add_portrait(verbs) -> None:
    parser = add_verb(
        verbs,
        "portrait",
        _portrait,
        "follow one face through the training of a DCGAN or a StyleGAN",
        "facegen portrait runs/sg2 --seed 5 --truncation 0.7 --out portrait.png --video portrait.mp4",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--seed", type=int, metavar="N", help="the face, if networks were kept (default: 0)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth snapshot, and the last")
    parser.add_argument("--out", type=Path, default=Path("portrait.png"), metavar="FILE", help="a strip: .png, .jpg or .webp")
    parser.add_argument("--video", type=Path, metavar="FILE", help="also a film: .mp4, .webp or .gif")
    parser.add_argument("--seconds", type=float, default=8.0, metavar="X", help="the film's playing time")
    parser.add_argument("--fade", type=float, default=0.5, metavar="X", help="share of the time in which faces change, 0 to 1")
    text = "below 1: more usual faces (StyleGAN)"
    parser.add_argument("--truncation", "--trunc", type=float, default=1.0, metavar="PSI", help=text)
    parser.add_argument("--class", dest="label", type=int, metavar="K", help="which class, for a network that has classes")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")


FILM_WIDTH = 512  # pixels


def _portrait(args: argparse.Namespace) -> int:
    check_picture("--out", args.out)
    if args.video:
        check_file("--video", args.video)

    from facegen.config import device
    from facegen.latent.portrait import follow
    from facegen.show import portrait, save_film
    from facegen.show.grids import kimg_text
    from facegen.show.video import check_film

    if args.video:
        check_film(args.video)
    face = follow(
        args.run,
        args.seed,
        every=args.every,
        trunc=args.truncation,
        label=args.label,
        device=device(args.device),
    )
    title = f"{face.name[0].upper()}{face.name[1:]} through training"
    _save_chart(portrait(face, title=title), args.out)
    first, last = (kimg_text(face.kimg[i]) for i in (0, -1))
    count = len(face.kimg)
    print(f"{args.out}: {face.name} in {count} snapshot{'s' if count > 1 else ''}, {first} to {last} kimg")
    if args.video:
        save_film(face, args.video, seconds=args.seconds, fade=args.fade, width=FILM_WIDTH)
        print(f"{args.video}: {args.video.stat().st_size / 1e6:.1f} MB")
    return 0


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


def _add_align(verbs) -> None:
    parser = add_verb(
        verbs,
        "align",
        _align,
        "find the face in each photograph and frame it as FFHQ does",
        "facegen align photos --out data/aligned --size 256",
    )
    parser.add_argument("source", type=Path, metavar="PHOTO|DIR|ZIP", help="photographs of faces")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR|FILE", help="a new folder, or a file for one photo")
    parser.add_argument("--size", type=int, default=256, metavar="N", help="side of the results in pixels")
    parser.add_argument("--zoom", type=float, default=1.0, metavar="X", help="how many times tighter than FFHQ, 0.5 to 3")
    text = "where report.json and warnings.html go, which show what may spoil a face (default: with the pictures)"
    parser.add_argument("--warnings", type=Path, metavar="DIR", help=text)


def _align(args: argparse.Namespace) -> int:
    from facegen.data.photos import align, default_warnings

    warnings = args.warnings or default_warnings(args.source, args.out)
    report = align(args.source, args.out, args.size, zoom=args.zoom, warnings=warnings)
    print(report)
    if any(check.warnings for check in report.checks):
        print(f"pictures of the warnings: {warnings / 'warnings.html'}")
    return 0


def _add_prepare(verbs) -> None:
    parser = add_verb(
        verbs,
        "prepare-unpaired",
        _prepare,
        "choose pictures of two sets at random: trainA, trainB, testA, testB for --cfg=cyclegan",
        "facegen prepare-unpaired --a data/congress --b data/omi --count 2000 --dest data/face2fake",
    )
    kinds = "DIR|ZIP|drawn:N|uncanny:N"
    parser.add_argument("--a", required=True, metavar=kinds, help="domain A, such as real faces")
    parser.add_argument("--b", required=True, metavar=kinds, help="domain B, such as generated faces")
    parser.add_argument("--dest", required=True, type=Path, metavar="DIR", help="a new folder")
    parser.add_argument("--count", type=int, default=2000, metavar="N", help="training pictures of each domain")
    parser.add_argument("--test", type=int, metavar="N", help="test pictures of each domain (default: a tenth, at most 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the choice")
    parser.add_argument("--size", type=int, metavar="N", help="write squares of so many pixels, else the files as they are")
    text = "find the faces, and frame all of them alike: as FFHQ does, or ZOOM times tighter (0.5 to 3)"
    parser.add_argument("--keep-copies", action="store_true", help="do not leave out near-duplicates of pictures")
    parser.add_argument("--reframe", nargs="?", type=float, const=1.0, metavar="ZOOM", help=text)


def _prepare(args: argparse.Namespace) -> int:
    from facegen.data.unpaired import prepare_unpaired

    report = prepare_unpaired(
        args.a,
        args.b,
        args.dest,
        count=args.count,
        test=args.test,
        seed=args.seed,
        size=args.size,
        reframe=False if args.reframe is None else args.reframe,
        copies=args.keep_copies,
    )
    print(report)
    return 0


# -- translation


def _add_translate(verbs) -> None:
    parser = add_verb(
        verbs,
        "translate",
        _translate,
        "put pictures through a trained translation",
        "facegen translate --network runs/face2fake --direction AtoB --epoch 160 --source photos --outdir results",
    )
    parser.add_argument(
        "--network",
        required=True,
        type=Path,
        metavar="RUN|FILE",
        help="a run's folder, or a file such as latest_net_G_A.pth",
    )
    parser.add_argument("--direction", choices=["AtoB", "BtoA"], default="AtoB", help="A to B is real to fake")
    parser.add_argument("--epoch", type=int, metavar="N", help="a kept epoch of the run (default: the newest)")
    parser.add_argument("--source", required=True, type=Path, metavar="PHOTO|DIR|ZIP", help="the pictures")
    parser.add_argument("--outdir", required=True, type=Path, metavar="DIR", help="a new folder")
    parser.add_argument("--size", type=int, metavar="N", help="side of the results (default: as the network was trained)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")


def _translate(args: argparse.Namespace) -> int:
    from facegen.config import device
    from facegen.latent.translate import SIZE, load_translator, translate_folder

    G, info = load_translator(args.network, args.direction, args.epoch)
    config = info.get("config")
    trained = config.get("image_size") if isinstance(config, dict) else None
    size = args.size if args.size is not None else trained if type(trained) is int else SIZE
    print(translate_folder(G.to(device(args.device)), args.source, args.outdir, size=size))
    return 0


def _add_gallery(verbs) -> None:
    parser = add_verb(
        verbs,
        "gallery",
        _gallery,
        "one page that shows what each kept epoch of a translation made of people",
        "facegen gallery runs/face2fake --epochs 10,100,160 --out index.html",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--epochs", type=seeds_of, metavar="LIST", help="such as 10,100,160 (default: all that were kept)")
    parser.add_argument("--out", type=Path, default=Path("index.html"), metavar="FILE.html", help="the page to write")
    parser.add_argument("--source", type=Path, metavar="DIR|ZIP", help="who to show (default: the run's own test pictures)")
    parser.add_argument("--people", type=int, default=8, metavar="N", help="how many")
    parser.add_argument("--direction", choices=["AtoB", "BtoA"], default="AtoB", help="A to B is real to fake")
    parser.add_argument("--face-model", metavar="FILE", help="a face model that you have, to measure identity (see README)")
    parser.add_argument("--title", default="Translated faces, epoch by epoch", help="of the page")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")


def _gallery(args: argparse.Namespace) -> int:
    if args.out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {args.out}: the name must end in .html")
    check_file("--out", args.out)

    from facegen.config import device
    from facegen.latent.translate import people
    from facegen.models.identity import load_identity
    from facegen.show.gallery import Person, gallery

    embed = load_identity(args.face_model) if args.face_model else None
    found = people(
        args.run,
        args.epochs,
        direction=args.direction,
        source=args.source,
        most=args.people,
        embed=embed,
        device=device(args.device),
    )
    rows = [
        Person(
            name,
            found.originals[i],
            {epoch: pictures[i] for epoch, pictures in found.outputs.items()},
            {epoch: numbers[i] for epoch, numbers in found.numbers.items()},
        )
        for i, name in enumerate(found.names)
    ]
    print(f"{gallery(rows, args.out, title=args.title)}: {len(rows)} people, epochs {', '.join(map(str, found.outputs))}")
    return 0


# -- comparison


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


# -- network files


def _add_convert(verbs) -> None:
    parser = add_verb(
        verbs,
        "convert",
        _convert,
        "write a network of another project (.pkl, .pt) as a safetensors file that anybody can open safely",
        "facegen convert stylegan2-ffhq-256x256.pkl ffhq256.safetensors",
    )
    parser.add_argument("source", metavar="FILE|URL|NAME", help="the network; nothing in it is run")
    parser.add_argument("dest", type=Path, metavar="FILE.safetensors", help="what to write")


def _convert(args: argparse.Namespace) -> int:
    if args.dest.suffix.lower() != ".safetensors":
        raise InputError(f"{args.dest}: the name must end in .safetensors")

    from facegen.files import sha256_of
    from facegen.models.pretrained import format_name, load, plain_json, save
    from facegen.models.published import find, network_file

    source = network_file(args.source)
    if args.dest.exists() and args.dest.samefile(source):
        raise InputError(f"{args.dest}: this is the file to convert; give the new one another name")
    loaded = load(source)
    info = {}
    for name, value in loaded.info.items():
        try:
            info |= plain_json({name: value}, "info")
        except InputError:
            print(f"facegen: {one_line(name)} is left out: it is not plain JSON", file=sys.stderr)
    if (known := find(args.source)) is not None:
        info["licence"] = known.licence
    info.pop("format", None)
    origin = {"file": source.name, "sha256": sha256_of(source), "format": format_name(source, loaded)}
    save(args.dest, loaded.G, loaded.D, {**info, "converted_from": origin})
    print(f"{args.dest}: {'G and D' if loaded.D is not None else 'G'} of {source.name}")
    return 0


def _add_info(verbs) -> None:
    text = "say what a network file holds, or how far a training run is"
    parser = add_verb(verbs, "info", _info, text, "facegen info runs/congress/network.safetensors")
    text = "a network file, its address, a name of `facegen models`, or a run's folder"
    parser.add_argument("network", metavar="FILE|URL|NAME|RUN", help=text)


def _info(args: argparse.Namespace) -> int:
    if Path(args.network).is_dir():
        return _run_info(Path(args.network))

    from facegen.models.pretrained import claims, describe, load
    from facegen.models.published import find, network_file

    path, known = network_file(args.network), find(args.network)
    loaded = load(path)
    for name, value in describe(path, loaded, known and known.licence):
        print(_fact(name, value))
    print("the file says:")
    for name, value in claims(path, loaded):
        print(_fact(f"  {name}", value))
    return 0


def _run_info(run: Path) -> int:
    """What a run is and how far, how fast and how it stands, from its folder alone: also while it goes on."""
    from facegen.training.fit import read_config, read_stats

    about, stats = read_config(run), read_stats(run / "stats.jsonl")
    config, data = about["config"], about["data"]
    recipe = config.get("architecture") or ("cyclegan" if "load_size" in config else "dcgan")
    facts = {"run": f"{run}, {recipe}, {about['image_size']} pixels", "data": f"{data['name']}, {data['count']} pictures"}
    batch, part = config.get("batch"), about.get("micro_batch")
    facts["batch"] = f"{batch}, worked off in parts of {part}" if part not in (None, batch) else batch
    if not stats:
        facts["progress"] = "nothing logged yet"
    else:
        facts |= _run_progress(config, stats)
    files = {"sample grids": "samples/step-*.png", "kept networks": "networks/*.safetensors", "checkpoints": "checkpoints/*.pt"}
    facts["files"] = ", ".join(f"{len(list(run.glob(pattern)))} {what}" for what, pattern in files.items())
    for name, value in facts.items():
        print(_fact(name, value))
    return 0


# What a line of stats.jsonl says of place and time; the rest is how the networks do.
PLACE = ("step", "kimg", "epoch", "seconds", "sec_per_kimg", "memory_gb")


def _run_progress(config: dict, stats: list[dict[str, float]]) -> dict[str, str]:
    import statistics

    last, facts = stats[-1], {}
    paces = [line["sec_per_kimg"] for line in stats[-20:] if "sec_per_kimg" in line]
    wanted, done, unit = config.get("kimg"), last["kimg"], "kimg"
    if wanted is None:
        wanted, done, unit = config["epochs"] + config["epochs_decay"], last["epoch"], "epochs"
    facts["progress"] = f"{done:.5g} of {wanted:g} {unit}, {_duration(last['seconds'])}"
    if paces and done < wanted:
        left = statistics.median(paces) * last["kimg"] * (wanted / done - 1)
        facts["progress"] += f", about {_duration(left)} to go"
    if paces:
        facts["pace"] = f"{statistics.median(paces):.4g} s/kimg, {last['memory_gb']:.2f} GB at most"
    facts["last line"] = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name not in PLACE)
    return facts


def _duration(seconds: float) -> str:
    """5025 -> "1 h 24 min"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _fact(name: str, value: object) -> str:
    """A line, or several that are indented: whatever a file says, it cannot look like a line of ours."""
    import textwrap

    text = one_line(value, 600) or "(empty)"
    return textwrap.fill(text, 120, initial_indent=f"{name:14} ", subsequent_indent=" " * 15)


def _add_models(verbs) -> None:
    add_verb(verbs, "models", _models, "list the networks that NVIDIA publishes, with addresses and terms")


def _models(args: argparse.Namespace) -> int:
    from facegen.models.published import table

    print(table())
    return 0


# -- course


def _add_course(verbs) -> None:
    parser = add_verb(verbs, "course", _course, "run every notebook without a browser and write pages to read")
    parser.add_argument("--notebooks", type=Path, default=Path("notebooks"), metavar="DIR", help="where they are")
    parser.add_argument("--out", type=Path, default=Path("build/course"), metavar="DIR", help="where the pages go")
    parser.add_argument("--preset", choices=["ci", "cpu", "gpu"], default="cpu", help="how much the notebooks do")


def _course(args: argparse.Namespace) -> int:
    from facegen.course.run import run_course

    return run_course(args.notebooks, args.out, preset=args.preset)


if __name__ == "__main__":
    sys.exit(main())

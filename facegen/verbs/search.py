"""`facegen search`: the DCGAN's settings searched with Optuna, and the best put to the test against the default."""

from __future__ import annotations

import argparse
import dataclasses
import math
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from facegen.files import one_line
from facegen.verbs.common import add_verb, check_folder

if TYPE_CHECKING:
    from facegen.evaluation.search import Found

PAGE_EVERY = 60  # seconds between two writings of the page while the search goes on


def add_search(verbs) -> None:
    parser = add_verb(
        verbs,
        "search",
        _search,
        "search the DCGAN's settings with Optuna, then test the best against the default with fresh seeds",
        "facegen search --data faces --kimg 40 --trials 30 --image-size 32 --set conv_dim=16 --among conv_dim=8,16,32",
    )
    text = "pictures, or N faces drawn by the package itself; half of them are held out for the test"
    parser.add_argument("--data", default="drawn:8192", metavar="DIR|ZIP|drawn:N", help=text)
    text = "continued if it is there; a greater --trials adds to it"
    parser.add_argument("--outdir", type=Path, default=Path("runs/search"), metavar="DIR", help=text)
    parser.add_argument("--trials", type=int, default=30, metavar="N", help="how many, the default settings among them")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--kimg", type=float, metavar="X", help="length of every run in thousands of pictures")
    budget.add_argument("--epochs", type=float, metavar="X", help="or in passes through the half that is trained on")
    parser.add_argument("--confirm", type=int, default=3, metavar="SEEDS", help="fresh seeds of the test; 0 leaves it out")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the proposals and of every trial's run")
    parser.add_argument("--image-size", type=int, default=64, metavar="N", help="32, 64 or 128 pixels")
    group = parser.add_argument_group("the space")
    text = "the settings to search, with commas (default: all that an untuned DCGAN leaves open; see --among)"
    group.add_argument("--space", metavar="LIST", help=text)
    text = "other values of a setting, or another setting: conv_dim=8,16,32, lr_G=1e-5..1e-3; may be given several times"
    group.add_argument("--among", action="append", metavar="NAME=A,B|LOW..HIGH", help=text)
    text = "a default of your own, held fixed unless --among names it too: mirror=1; may be given several times"
    group.add_argument("--set", action="append", metavar="NAME=VALUE", help=text)
    group = parser.add_argument_group("the score")
    text = "fakes for each score, a kernel inception distance (KID)"
    group.add_argument("--samples", type=int, default=500, metavar="N", help=text)
    text = "scores of a trial, evenly over its run: at each but the last it is cut short if it is worse than the median was"
    group.add_argument("--scores", type=int, default=4, metavar="N", help=text)
    group.add_argument("--features", default="lite0", metavar="NAME", help="what pictures are compared by: lite0 or inception")
    parser.add_argument("--max-images", type=int, metavar="N", help="use only the first N pictures")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")


def _search(args: argparse.Namespace) -> int:
    check_folder("--outdir", args.outdir)

    from tqdm.auto import tqdm

    from facegen.config import TrainConfig, device
    from facegen.data import load_faces
    from facegen.data.pictures import table
    from facegen.evaluation.features import load_features
    from facegen.evaluation.search import check_space, chosen_axes, chosen_settings, search, verdict
    from facegen.show.search import line, write_report

    on, given = device(args.device), chosen_settings(args.set or [])
    base = TrainConfig(image_size=args.image_size, seed=args.seed, **given)
    axes = chosen_axes(args.space, args.among or [], given)
    check_space(dataclasses.replace(base, kimg=1e9), axes, args.scores)  # before the pictures are decoded
    faces = load_faces(args.data, args.image_size, max_images=args.max_images)
    if faces.report:
        print(table(faces.report))
    kimg = args.epochs * (len(faces) // 2) / 1000 if args.kimg is None else args.kimg
    base = dataclasses.replace(base, kimg=kimg)
    check_space(base, axes, args.scores)
    features = load_features(args.features, on)
    shown = f"{len(faces)} pictures from {one_line(faces.name)}"
    print(f"{shown}; {args.trials} trials of {kimg:g} kimg over {len(axes)} settings on {on}")
    written = -math.inf

    def report(found: Found) -> None:
        nonlocal written
        tqdm.write(line(found, found.trials[-1]))
        if len(found.trials) == found.planned or time.monotonic() > written + PAGE_EVERY:
            write_report(found, args.outdir, _command(args))
            written = time.monotonic()

    options = {"axes": axes, "trials": args.trials, "rungs": args.scores, "samples": args.samples, "confirm": args.confirm}
    found = search(faces, base, args.outdir, features, device=on, on_trial=report, **options)
    write_report(found, args.outdir, _command(args))
    print("\n".join([verdict(found), f"done: {args.outdir / 'index.html'}, {args.outdir / 'best.json'}"]))
    return 0


def _command(args: argparse.Namespace) -> str:
    """The command with every flag that has a value."""
    words = ["facegen", "search"]
    for name, value in vars(args).items():
        if name != "verb" and value is not None:
            words += [f"--{name.replace('_', '-')}={item}" for item in (value if isinstance(value, list) else [value])]
    return shlex.join(words)

"""`facegen audit`: who is in the data and who comes out, with intervals; and data resampled to a target."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from facegen.files import InputError, replacing_folder
from facegen.verbs.common import add_verb, check_folder

LEAST = 16  # pixels of a face that nobody looks at
USUAL = 64  # pixels where nothing else says how many


def add_audit(verbs) -> None:
    parser = add_verb(
        verbs,
        "audit",
        _audit,
        "count who is in the data and who comes out, test the differences, or resample the data to a target",
        "facegen audit --network runs/sg2/network.safetensors --data faces --labels labels.csv --attributes glasses,age@30@60 "
        "--outdir audit",
    )
    parser.add_argument(
        "--data", required=True, metavar="DIR|ZIP|drawn:N", help="the real pictures: what the network learned from"
    )
    text = "a CSV (first column the file, the others attributes); drawn, of drawn faces; or measured, on the pixels: colour, "
    text += "background, face"
    parser.add_argument("--labels", required=True, metavar="FILE.csv|drawn|measured", help=text)
    text = "which, with commas; NAME@LIMIT@... cuts a column of numbers, such as age@30@60"
    parser.add_argument("--attributes", required=True, metavar="A,B", help=text)
    group = parser.add_argument_group("what to compare the data with")
    group.add_argument("--network", metavar="FILE|URL|NAME", help="a network file, its address, or a name of `facegen models`")
    group.add_argument("--images", metavar="DIR|ZIP", help="or generated pictures")
    group.add_argument("--samples", type=int, default=2000, metavar="N", help="how many generated pictures")
    group.add_argument("--seed", type=int, default=0, metavar="N", help="the first seed of the faces, and that of every draw")
    group.add_argument("--trunc", type=float, default=1.0, metavar="PSI", help="truncation of a StyleGAN")
    group.add_argument("--image-size", type=int, metavar="N", help="pixels; by default the network's, or those of --images")
    group.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")
    parser.add_argument("--outdir", type=Path, metavar="DIR", help="a new folder for the table, JSON, figure and page")
    group = parser.add_argument_group("resampling")
    group.add_argument(
        "--resample", type=Path, metavar="TARGET.json", help='shares wanted: {"glasses": {"none": 0.5, "round": 0.5}}'
    )
    group.add_argument("--out", type=Path, metavar="DIR|FILE.zip", help="the resampled pictures; their labels come beside it")
    group.add_argument("--count", type=int, metavar="N", help="how many pictures; by default as many as there are")


def _audit(args: argparse.Namespace) -> int:
    attributes = list(dict.fromkeys(word.strip() for word in args.attributes.split(",") if word.strip()))
    _check_flags(args, attributes)
    if args.resample:
        _resample(args, attributes)
    if args.outdir:
        with replacing_folder(args.outdir) as folder:
            print(_count(args, attributes, folder))
        print(f"written: {args.outdir}")
    return 0


def _check_flags(args: argparse.Namespace, attributes: list[str]) -> None:
    if bool(args.resample) != bool(args.out):
        raise InputError("--resample TARGET.json and --out belong together: give both or neither")
    if not args.outdir and not args.resample:
        raise InputError("give --outdir for the audit's report, or --resample and --out for a resampled data set")
    if args.network and args.images:
        raise InputError("--network and --images: give one of the two")
    from facegen.data.packed import drawn_count

    drawn = drawn_count(args.data, 1) is not None
    if args.labels == "drawn" and not drawn:
        raise InputError(f"--labels=drawn: {args.data} is not drawn by the package; give a CSV, or drawn:N")
    if args.labels not in ("drawn", "measured") and drawn:
        raise InputError(f"--labels {args.labels}: the labels of drawn faces are known; give --labels=drawn")
    if not attributes:
        raise InputError("--attributes: give at least one")
    for flag, path in (("--outdir", args.outdir), ("--out", args.out)):
        if path is not None:
            check_folder(flag, path if path.suffix != ".zip" else path.parent)


def _resample(args: argparse.Namespace, attributes: list[str]) -> None:
    from facegen.evaluation.audit import labelled, read_target, resample, resampling_weights, write_resampled
    from facegen.show.audit import resampled_text

    target = read_target(args.resample)
    # Only labels that are measured need pixels; others take pictures of any size.
    there = labelled(args.data, args.labels, attributes, args.image_size or (USUAL if args.labels == "measured" else LEAST))
    weights = resampling_weights(there.labels, target)
    indices = resample(weights, args.count, args.seed)
    path = write_resampled(there, indices, args.out)
    print(resampled_text(there.labels, indices, weights, target))
    print(f"written: {args.out}, {path}")


def _count(args: argparse.Namespace, attributes: list[str], folder: Path) -> str:
    """Count, write the report, and return its text."""
    from facegen.config import device
    from facegen.data.packed import content_hash
    from facegen.evaluation import features
    from facegen.evaluation.audit import audit, labelled
    from facegen.evaluation.measure import fakes_of
    from facegen.show.audit import write_audit

    size, pictures, on = args.image_size or USUAL, None, device(args.device)
    protocol: dict[str, object] = {"labels": args.labels, "attributes": attributes}
    if args.network or args.images:
        options = {"size": args.image_size, "trunc": args.trunc, "device": on}
        fakes, size, about = fakes_of(args.network, args.images, args.samples, args.seed, **options)
        pictures = fakes.pictures(range(fakes.count)).expand(-1, 3, -1, -1)
        protocol |= {"name": fakes.name, **about, "fake": fakes.count, "seed": args.seed, "trunc": args.trunc}
    real = labelled(args.data, args.labels, attributes, size)
    protocol |= {"image_size": size, "data": content_hash(real.images), "real": len(real.images)}
    see = None
    if pictures is not None and args.labels != "measured":
        see = features.load_features("lite0", on)
        protocol["features"] = str(see)
    found = audit(real, pictures, labels=args.labels, features=see, seed=args.seed)
    notes = [f"{real.unlabelled:,} pictures without all the labels were left out"] if real.unlabelled else []
    title = f"Audit of {Path(args.network or args.images or args.data).name}"
    return write_audit(found, folder, title, notes, protocol, _command(args))


def _command(args: argparse.Namespace) -> str:
    given = {name: value for name, value in vars(args).items() if name != "verb" and value is not None}
    return shlex.join(["facegen", "audit", *(f"--{name.replace('_', '-')}={value}" for name, value in given.items())])

"""`facegen evaluate`: measure a network, or pictures that were generated before, against real pictures."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facegen.files import InputError, replacing_folder, sha256_of
from facegen.verbs.common import add_verb

if TYPE_CHECKING:
    import torch

    from facegen.data.packed import Faces
    from facegen.evaluation.measure import Evaluation, Fakes, Result, Settings
    from facegen.evaluation.neighbours import Memorised

SHOWN = 8  # fakes in the picture of neighbours


def add_evaluate(verbs) -> None:
    parser = add_verb(
        verbs,
        "evaluate",
        _evaluate,
        "measure generated pictures against real ones, each number with its interval and its protocol",
        "facegen evaluate --network runs/sg2/network.safetensors --data data/clean --outdir evaluated",
    )
    text = "what to measure: a network file, its address, or a name of `facegen models`"
    parser.add_argument("--network", metavar="FILE|URL|NAME", help=text)
    parser.add_argument("--images", metavar="DIR|ZIP", help="or pictures that were generated before")
    text = "real pictures; for nn, those that the network was trained on"
    parser.add_argument("--data", required=True, metavar="DIR|ZIP|drawn:N", help=text)
    text = "some of fid, kid, pr (precision, recall), dc (density, coverage), is, nn (copies of training pictures), diversity, "
    text += "spectra, ppl and eq (of a network), or all"
    parser.add_argument("--metrics", default="fid,kid,pr,dc,nn,diversity,spectra", metavar="LIST", help=text)
    parser.add_argument("--samples", type=int, default=1000, metavar="N", help="fakes; papers take 50000")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the first fake's, and of all that is drawn at random")
    parser.add_argument("--outdir", required=True, type=Path, metavar="DIR", help="a new folder for the numbers and pictures")
    text = "lite0: without a download, with scores of its own name; inception: that of published scores (96 MB, fetched once)"
    parser.add_argument("--features", choices=["lite0", "inception"], default="lite0", help=text)
    text = "how pictures are brought to the features' size"
    parser.add_argument("--resize", choices=["clean", "legacy", "both"], default="both", help=text)
    parser.add_argument("--truncation", "--trunc", type=float, default=1.0, metavar="PSI", help="of the fakes (StyleGAN)")
    parser.add_argument("--class", dest="label", type=int, metavar="K", help="which class, for a network that has classes")
    text = "a results.json to compare with; refused if it was measured another way"
    parser.add_argument("--against", type=Path, metavar="FILE", help=text)
    group = parser.add_argument_group("details")
    group.add_argument("--pairs", type=int, default=200, metavar="N", help="pictures of eq, and pairs of ppl and diversity")
    text = "what ppl and diversity compare by: vgg16 (553 MB, fetched once), lite0, or auto, vgg16 where it is already here"
    group.add_argument("--perceptual", choices=["auto", "vgg16", "lite0"], default="auto", help=text)
    group.add_argument("--ppl-space", choices=["w", "z"], default="w", help="where ppl's way lies")
    group.add_argument("--ppl-sampling", choices=["end", "full"], default="end", help="at the way's start, or anywhere on it")
    text = "side of the pictures (default: the network's, or that of --images)"
    group.add_argument("--size", type=int, metavar="N", help=text)
    text = "where features of the real pictures are kept (default: beside fetched networks); none keeps nothing"
    group.add_argument("--cache", metavar="DIR|none", help=text)
    group.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")


def _evaluate(args: argparse.Namespace) -> int:
    if (args.network is None) == (args.images is None):
        raise InputError("give either --network FILE or --images DIR: one of them is measured")

    from facegen.evaluation.measure import (
        check_protocols,
        compare_results,
        measure,
        protocols,
        read_results,
        write_results,
    )

    theirs = read_results(args.against) if args.against else None
    settings = _settings(args)
    with replacing_folder(args.outdir) as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        fakes, faces, about = _sides(args, settings)
        if theirs is not None:
            check_protocols(list(protocols(fakes, faces, settings).values()), theirs)
        evaluation = measure(fakes, faces, settings)
        write_results(folder / "results.json", evaluation, about)
        if evaluation.copies is not None:
            _save_neighbours(folder / "neighbours.png", evaluation.copies, fakes, faces)
    _print(evaluation, [str(one.message) for one in caught])
    if theirs is not None:
        _print_differences(compare_results(evaluation.results, theirs), args.against)
    print(f"written: {args.outdir}")
    return 0


def _settings(args: argparse.Namespace) -> Settings:
    from facegen.config import device
    from facegen.evaluation.measure import METRICS, Settings
    from facegen.models.published import cache_folder

    names = METRICS if args.metrics == "all" else [name.strip().lower() for name in args.metrics.split(",")]
    if args.metrics == "all" and args.network is None:
        names = [name for name in names if name not in ("ppl", "eq")]
    cache = cache_folder().parent / "features" if args.cache is None else None if args.cache == "none" else Path(args.cache)
    return Settings(
        metrics=tuple(dict.fromkeys(names)),
        seed=args.seed,
        features=args.features,
        resizings=("clean", "legacy") if args.resize == "both" else (args.resize,),
        pairs=args.pairs,
        perceptual=args.perceptual,
        ppl_space=args.ppl_space,
        ppl_ends=args.ppl_sampling == "end",
        cache=cache,
        device=device(args.device),
    )


def _sides(args: argparse.Namespace, settings: Settings) -> tuple[Fakes, Faces, dict[str, object]]:
    """The fakes, the real pictures, and what else to write down about them."""
    import torch

    from facegen.data.packed import common_size, load_faces
    from facegen.evaluation.measure import Generated, Stored
    from facegen.models.pretrained import load
    from facegen.models.published import network_file

    about: dict[str, object] = {"torch": torch.__version__, "device": torch.device(settings.device).type}
    if args.images is not None:
        if args.truncation != 1 or args.label is not None:
            raise InputError("--truncation and --class change what a network makes: leave them out with --images")
        size = args.size or common_size(args.images)
        stored = load_faces(args.images, size)
        about["images_hash"] = stored.content_hash
        return Stored(stored, args.samples, args.seed), load_faces(args.data, size), about
    path = network_file(args.network)
    G = load(path).G.to(settings.device)
    if args.size not in (None, getattr(G, "img_resolution", args.size)):
        raise InputError(f"--size {args.size}: this network makes pictures of {G.img_resolution} pixels")
    fakes = Generated(G, args.samples, args.seed, trunc=args.truncation, labels=args.label, name=path.name)
    about["network_sha256"] = sha256_of(path)
    return fakes, load_faces(args.data, G.img_resolution), about


# -- showing


def _save_neighbours(path: Path, copies: Memorised, fakes: Fakes, faces: Faces) -> None:
    """The fakes that are nearest to a real picture, each above its nearest real ones."""
    import torch

    from facegen.show import show_grid

    suspects = copies.suspects(SHOWN)
    rows: list[torch.Tensor] = [fakes.pictures(suspects)]
    captions = [f"fake {index}\ndistance {copies.nearness[index]:.2f}" for index in suspects]
    for place in range(copies.nearest.shape[1]):
        rows.append(faces.images[copies.nearest[suspects, place].to(faces.images.device)].cpu())
        captions += [f"real {int(index)}" for index in copies.nearest[suspects, place]]
    title = f"The {len(suspects)} fakes nearest to a real picture (distance 1: what is usual between real ones)"
    figure = show_grid(torch.cat(rows), title, cols=len(suspects), captions=captions)
    path.write_bytes(figure.png())


def _print(evaluation: Evaluation, heard: Sequence[str]) -> None:
    from facegen.show.text import table

    print(_title(evaluation))
    print(table([_row(result) for result in evaluation.results], HEADERS))
    for result in evaluation.results:
        print(f"[{result.measured.protocol}]" + (f" {result.note}" if result.note else ""))
    if evaluation.copies is not None:
        print(evaluation.copies.verdict)
    for text in (*heard, *evaluation.warnings):
        print(f"facegen: note: {' '.join(text.split())}", file=sys.stderr)


HEADERS = ("score", "value", "95 % interval", "better", "pictures", "fakes", "held-out real")


def _title(evaluation: Evaluation) -> str:
    fakes, data = evaluation.fakes, evaluation.data
    return f"{fakes['name']}: {fakes['count']} fakes against {data['count']} real pictures of {data['name']}"


def _row(result: Result) -> list[object]:
    one = result.measured
    interval = f"{one.low:.4g} to {one.high:.4g}"
    return [result.name, one.value, interval, result.better, result.matched or None, result.fakes, result.real]


def _print_differences(differences: Sequence, path: Path) -> None:
    from facegen.show.text import table

    rows = [[one.name, one.ours.value, one.theirs.value, one.verdict] for one in differences]
    print(f"\nAgainst {path.name}, measured the same way:")
    print(table(rows, ["score", "here", "there", "here is"]))

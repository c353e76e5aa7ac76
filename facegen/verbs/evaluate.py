"""`facegen evaluate`: measure a network, or pictures that were generated before, against real pictures."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from facegen.files import cache_folder, one_line, replacing_folder
from facegen.verbs.common import add_verb


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
    import torch

    from facegen.config import device
    from facegen.data import load_faces
    from facegen.evaluation.measure import (
        Settings,
        check_protocols,
        compare_results,
        fakes_of,
        measure,
        metric_names,
        protocols,
        read_results,
        write_results,
    )
    from facegen.show.evaluation import difference_text, evaluation_text, save_neighbours

    theirs = read_results(args.against) if args.against else None
    cache = cache_folder("features") if args.cache is None else None if args.cache == "none" else Path(args.cache)
    on = device(args.device)
    settings = Settings(
        metrics=metric_names(args.metrics, network=args.network is not None),
        seed=args.seed,
        features=args.features,
        resizings=("clean", "legacy") if args.resize == "both" else (args.resize,),
        pairs=args.pairs,
        perceptual=args.perceptual,
        ppl_space=args.ppl_space,
        ppl_ends=args.ppl_sampling == "end",
        cache=cache,
        device=on,
    )
    with replacing_folder(args.outdir) as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        options = {"size": args.size, "trunc": args.truncation, "label": args.label, "device": on}
        fakes, size, about = fakes_of(args.network, args.images, args.samples, args.seed, **options)
        faces = load_faces(args.data, size)
        if theirs is not None:
            check_protocols(protocols(fakes, faces, settings), theirs)
        evaluation = measure(fakes, faces, settings)
        write_results(folder / "results.json", evaluation, {"torch": torch.__version__, "device": on.type, **about})
        if evaluation.copies is not None:
            save_neighbours(folder / "neighbours.png", evaluation.copies, fakes, faces)
    print(evaluation_text(evaluation))
    for text in (*(str(one.message) for one in caught), *evaluation.warnings):
        print(f"facegen: note: {one_line(text, 500)}", file=sys.stderr)
    if theirs is not None:
        print(f"\nAgainst {one_line(args.against.name)}, measured the same way:")
        print(difference_text(compare_results(evaluation.results, theirs)))
    print(f"written: {one_line(args.outdir)}")
    return 0

"""`facegen audit`: who is in the data and who comes out, with intervals; and data resampled to a target."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from facegen.files import InputError, replacing_folder
from facegen.verbs.common import add_verb, check_folder

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from facegen.evaluation.audit import AttributeClassifier, AttributeTest, Difference, Share
    from facegen.show.figures import Chart

LEAST = 16  # pixels of a face that nobody looks at
ONE_SIDE = ("attribute", "value", "share", "interval", "pictures")
TESTS = ("attribute", "chi-square", "degrees of freedom", "Cramér's V", "p", "p, Holm")


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
    text = "the pictures that the labels are of, if other than the data: then the classifier judges the data, too"
    group.add_argument("--labelled", metavar="DIR|ZIP|drawn:N", help=text)
    text = (
        "with --labelled: labels of some of the data, to measure the classifier's error where it is used, not where it learned"
    )
    group.add_argument("--check", metavar="FILE.csv", help=text)
    text = (
        "show the classifier only this middle part of data and generated pictures, where the labelled ones are framed tighter"
    )
    group.add_argument("--crop", type=float, default=1.0, metavar="SHARE", help=text)
    text = "pixels; by default the network's, so that the classifier sees all pictures alike"
    group.add_argument("--image-size", type=int, metavar="N", help=text)
    group.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")
    parser.add_argument("--outdir", type=Path, metavar="DIR", help="a new folder for the table, JSON, figure and page")
    group = parser.add_argument_group("resampling")
    group.add_argument(
        "--resample", type=Path, metavar="TARGET.json", help='shares wanted: {"glasses": {"none": 0.5, "round": 0.5}}'
    )
    group.add_argument("--out", type=Path, metavar="DIR|FILE.zip", help="the resampled pictures; their labels come beside it")
    group.add_argument("--count", type=int, metavar="N", help="how many pictures; by default as many as there are")


def _audit(args: argparse.Namespace) -> int:
    _check_flags(args)
    if args.resample:
        _resample(args)
    if args.outdir:
        with replacing_folder(args.outdir) as folder:
            found = _measure(args)
            print(_write(args, found, folder))
        print(f"written: {args.outdir}")
    return 0


def _check_flags(args: argparse.Namespace) -> None:
    if bool(args.resample) != bool(args.out):
        raise InputError("--resample TARGET.json and --out belong together: give both or neither")
    if not args.outdir and not args.resample:
        raise InputError("give --outdir for the audit's report, or --resample and --out for a resampled data set")
    if args.network and args.images:
        raise InputError("--network and --images: give one of the two")
    if not (args.network or args.images) and args.labelled and args.outdir is None:
        raise InputError("--labelled needs --outdir: resampling goes by the labels of the data itself")
    if args.labelled and (args.labels == "measured" or args.resample):
        raise InputError("--labelled is for labels of other pictures: leave it out with --labels=measured and with --resample")
    if args.check and not args.labelled:
        raise InputError("--check goes with --labelled: a classifier that learned from the data is measured on the data")
    drawn = args.labelled or args.data
    if args.labels == "drawn" and not drawn.startswith("drawn"):
        raise InputError(f"--labels=drawn: {drawn} is not drawn by the package; give a CSV, or drawn:N")
    if args.labels not in ("drawn", "measured") and drawn.startswith("drawn"):
        raise InputError(f"--labels {args.labels}: the labels of drawn faces are known; give --labels=drawn")
    if args.samples < 2 or not 0 < args.crop <= 1:
        raise InputError(f"--samples {args.samples} and --crop {args.crop}: give 2 faces or more, and a share above 0 up to 1")
    if not _attributes(args):
        raise InputError("--attributes: give at least one")
    for flag, path in (("--outdir", args.outdir), ("--out", args.out)):
        if path is not None:
            check_folder(flag, path if path.suffix != ".zip" else path.parent)


def _attributes(args: argparse.Namespace) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in args.attributes.split(",") if word.strip()))


# -- pictures and labels


@dataclass(frozen=True)
class _Set:
    """Pictures with labels; `names` are files of `source`, or of a tensor's pictures."""

    images: Tensor
    labels: dict[str, np.ndarray]
    names: list[str]
    source: Path | Tensor
    notes: list[str] = field(default_factory=list)


def _labelled(args: argparse.Namespace, source: str, size: int) -> _Set:
    """The pictures of `source` with their labels, as the flags ask for them."""
    from facegen.data import load_faces
    from facegen.evaluation.audit import drawn_labels, labelled_faces, measured_labels, read_labels

    names = _attributes(args)
    if source.startswith("drawn"):
        faces = load_faces(source, size)
        labels = measured_labels(faces.images, names) if args.labels == "measured" else drawn_labels(faces.attributes, names)
        return _Set(faces.images, labels, [f"{i:06d}.png" for i in range(len(faces))], faces.images)
    known = {} if args.labels == "measured" else read_labels(args.labels, names)
    found = labelled_faces(source, known, size)
    notes = [f"{found.unlabelled:,} pictures without all the labels were left out"] if found.unlabelled else []
    labels = measured_labels(found.images, names) if args.labels == "measured" else found.labels
    return _Set(found.images, labels, found.names, Path(source), notes)


def _values(args: argparse.Namespace) -> dict[str, Sequence[str]]:
    """All the values that there could be, where the package knows them."""
    from facegen.data import ATTRIBUTE_NAMES
    from facegen.evaluation.audit import MEASURES

    known = {"drawn": ATTRIBUTE_NAMES, "measured": MEASURES}.get(args.labels, {})
    return {name: known[name] for name in _attributes(args) if name in known}


# -- resampling


def _resample(args: argparse.Namespace) -> None:
    from facegen.evaluation.audit import effective_size, resample, resampling_weights, shares, write_resampled
    from facegen.show.text import table

    try:
        target = json.loads(args.resample.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"--resample {args.resample} cannot be read as JSON ({error}): give attribute -> value -> share"
        ) from None
    if not isinstance(target, dict):
        raise InputError(f'--resample {args.resample}: give an object such as {{"glasses": {{"none": 0.5, "round": 0.5}}}}')
    # Only labels that are measured need pixels; others take pictures of any size.
    there = _labelled(args, args.data, args.image_size or (64 if args.labels == "measured" else LEAST))
    weights = resampling_weights(there.labels, target)
    indices = resample(weights, args.count, args.seed)
    path = write_resampled(there.source, there.names, indices, there.labels, args.out)
    rows = []
    for name, labels in there.labels.items():
        before, after = shares(labels), shares(labels[indices], list(shares(labels)))
        goal = target.get(name, {})
        rows += [
            (name, v, f"{before[v].share:.1%}", f"{goal[v]:.1%}" if v in goal else None, f"{after[v].share:.1%}")
            for v in before
        ]
    print(table(rows, ("attribute", "value", "before", "target", "after")))
    used = len(set(indices.tolist()))
    print(
        f"{len(indices):,} pictures, {used:,} different ones, the most frequent {max(_times(indices)):,} times; "
        f"worth {effective_size(weights):,.0f} of {len(weights):,} by Kish's count\nwritten: {args.out}, {path}"
    )


def _times(indices: np.ndarray) -> list[int]:
    import numpy as np

    return np.unique(indices, return_counts=True)[1].tolist()


# -- measuring


@dataclass
class _Found:
    """All that the report says."""

    real: dict[str, dict[str, Share]]
    differences: list[Difference] = field(default_factory=list)
    tests: list[AttributeTest] = field(default_factory=list)
    judges: dict[str, AttributeClassifier] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    protocol: dict[str, object] = field(default_factory=dict)


def _measure(args: argparse.Namespace) -> _Found:
    from facegen.data.packed import content_hash
    from facegen.evaluation.audit import compare_attributes, compare_corrected, compare_shares, shares

    fakes, size, about = _generated(args)
    protocol = {**about, "image_size": size, "labels": args.labels, "attributes": _attributes(args)}
    if args.labelled:
        return _transferred(args, fakes, size, protocol)
    data = _labelled(args, args.data, size)
    protocol |= {"data": content_hash(data.images), "real": len(data.images)}
    values = _values(args)
    if fakes is None:
        found = {name: shares(labels, values.get(name)) for name, labels in data.labels.items()}
        return _Found(found, notes=data.notes, protocol=protocol)
    if args.labels == "measured":
        from facegen.evaluation.audit import measured_labels

        other = measured_labels(fakes, _attributes(args))
        rows = compare_shares(data.labels, other, values=values)
        tests = compare_attributes(data.labels, other, seed=args.seed)
        return _Found({}, rows, tests, notes=data.notes, protocol=protocol)
    judges, said, features = _judged(args, data, fakes)
    judges, said = _seeing(judges, said, data.notes)
    heard = {name: judge.out_of_fold for name, judge in judges.items()}
    rows, tests = compare_corrected(judges, said, seed=args.seed), compare_attributes(heard, said, seed=args.seed)
    return _Found({}, rows, tests, judges, data.notes, {**protocol, "features": features})


def _transferred(args: argparse.Namespace, fakes: Tensor | None, size: int, protocol: dict[str, object]) -> _Found:
    """Labels of other pictures: the classifier judges the data as it judges the fakes."""
    from facegen.data import load_faces
    from facegen.data.packed import content_hash
    from facegen.evaluation.audit import compare_attributes, compare_corrected, corrected_share

    other, faces = _labelled(args, args.labelled, size), load_faces(args.data, size).images
    protocol |= {"data": content_hash(faces), "real": len(faces), "labelled": content_hash(other.images), "crop": args.crop}
    notes = [
        *other.notes,
        "The data have no labels: their shares, too, are the classifier's, corrected by its error on the labelled set.",
    ]
    judges, heard, features = _judged(args, other, _middle(faces, args.crop))
    if args.check:
        judges = _checked(args, judges, size)
        notes.append(f"The classifier's error was measured on those of the data that {Path(args.check).name} has labels of.")
    judges, heard = _seeing(judges, heard, notes)
    protocol["features"] = features
    if fakes is None:
        return _Found(
            {n: corrected_share(heard[n], judges[n], seed=args.seed) for n in judges}, [], [], judges, notes, protocol
        )
    said = _said(args, judges, _middle(fakes, args.crop))
    tests = compare_attributes(heard, said, seed=args.seed)
    return _Found({}, compare_corrected(judges, said, heard, seed=args.seed), tests, judges, notes, protocol)


def _generated(args: argparse.Namespace) -> tuple[Tensor | None, int, dict[str, object]]:
    """The generated pictures uint8 [N, 3, S, S], if any are asked for, S, and what they are."""
    from facegen.data import load_faces

    if args.images:
        faces = load_faces(args.images, args.image_size or 64, max_images=args.samples)
        return faces.images, args.image_size or 64, {"images": faces.content_hash, "fake": len(faces)}
    if not args.network:
        return None, args.image_size or 64, {}

    from facegen.config import device
    from facegen.files import sha256_of
    from facegen.latent.sample import sample
    from facegen.models.pretrained import load
    from facegen.models.published import network_file

    path = network_file(args.network)
    G = load(path).G.to(device(args.device))
    faces = sample(G, range(args.seed, args.seed + args.samples), trunc=args.trunc)
    size = faces.shape[-1]
    if faces.shape[1] == 1:
        faces = faces.expand(-1, 3, -1, -1)
    if args.image_size and args.image_size != size:
        raise InputError(f"--image-size {args.image_size}: the network makes {size} pixels; leave it out")
    about = {
        "network": path.name,
        "network_sha256": sha256_of(path),
        "fake": len(faces),
        "seed": args.seed,
        "trunc": args.trunc,
    }
    return faces, size, about


def _middle(pictures: Tensor, share: float) -> Tensor:
    side = max(1, round(pictures.shape[-1] * share))
    start = (pictures.shape[-1] - side) // 2
    return pictures[:, :, start : start + side, start : start + side]


def _judged(
    args: argparse.Namespace, known: _Set, pictures: Tensor
) -> tuple[dict[str, AttributeClassifier], dict[str, np.ndarray], str]:
    """A classifier per attribute, fitted to `known`; what each says of `pictures`; and the features' name."""
    from facegen.config import device
    from facegen.evaluation.audit import AttributeClassifier
    from facegen.evaluation.features import load_features

    features = load_features("lite0", device(args.device))
    rows = features(known.images)
    judges = {name: AttributeClassifier().fit(rows, labels, seed=args.seed) for name, labels in known.labels.items()}
    for name, judge in judges.items():
        print(f"{name}: the classifier is wrong in {judge.error()}", file=sys.stderr)
    return judges, _said(args, judges, pictures), str(features)


def _seeing(
    judges: Mapping[str, AttributeClassifier], said: Mapping[str, np.ndarray], notes: list[str]
) -> tuple[dict[str, AttributeClassifier], dict[str, np.ndarray]]:
    """The classifiers that can tell their values apart, and what they say; the others get a note."""
    blind = [name for name, judge in judges.items() if judge.blind]
    if len(blind) == len(judges):
        raise InputError(
            f"no classifier can tell the values of {', '.join(blind)} apart: give more labelled pictures, or join values"
        )
    notes += [
        f"{name} is left out: its classifier can hardly tell the values apart, so nothing follows from it." for name in blind
    ]
    return {n: j for n, j in judges.items() if n not in blind}, {n: s for n, s in said.items() if n not in blind}


def _checked(args: argparse.Namespace, judges: Mapping[str, AttributeClassifier], size: int) -> dict[str, AttributeClassifier]:
    """Each classifier with its error on the labelled part of the data; where the check has no such column, as it is."""
    from facegen.config import device
    from facegen.evaluation.audit import label_columns, labelled_faces, read_labels
    from facegen.evaluation.features import load_features

    names = [name for name in judges if name.partition("@")[0] in label_columns(args.check)]
    if not names:
        raise InputError(f"--check {args.check} has none of the columns {', '.join(judges)}: name one as the labels do")
    known = labelled_faces(args.data, read_labels(args.check, names), size)
    rows = load_features("lite0", device(args.device))(_middle(known.images, args.crop))
    found = dict(judges)
    for name in names:
        found[name] = judges[name].measured_on(rows, known.labels[name])
        print(f"{name}: on {len(rows)} of the data it is wrong in {found[name].error()}", file=sys.stderr)
    return found


def _said(args: argparse.Namespace, judges: Mapping[str, AttributeClassifier], pictures: Tensor) -> dict[str, np.ndarray]:
    from facegen.config import device
    from facegen.evaluation.features import load_features

    rows = load_features("lite0", device(args.device))(pictures)
    return {name: judge.predict(rows) for name, judge in judges.items()}


# -- the report


def _write(args: argparse.Namespace, found: _Found, folder: Path) -> str:
    from facegen.show.audit import audit_html
    from facegen.show.text import table

    tables, chart = _tables(found), _chart(found)
    notes = [*_notes(found), *found.notes]
    command = _command(args)
    title = f"Audit of {Path(args.network or args.images or args.data).name}"
    lines = "\n\n".join(f"{name}\n{table(rows, headers)}" for name, (headers, rows) in tables.items())
    text = "\n\n".join([lines, *notes])
    (folder / "audit.txt").write_text(f"{title}\n\n{text}\n\n{command}\n", encoding="utf-8")
    (folder / "audit.json").write_text(json.dumps(_facts(found), indent=2) + "\n", encoding="utf-8")
    (folder / "shares.png").write_bytes(chart.png(2))
    (folder / "index.html").write_text(audit_html(title, chart, tables, notes, command), encoding="utf-8")
    return text


def _tables(found: _Found) -> dict[str, tuple[Sequence[str], list[tuple[object, ...]]]]:
    from facegen.evaluation.audit import COLUMNS, table_rows

    tables: dict[str, tuple[Sequence[str], list[tuple[object, ...]]]] = {}
    if found.differences:
        tables["Shares, and their differences in points"] = (COLUMNS, table_rows(found.differences))
        rows = [(t.attribute, t.chi_square, t.freedom, t.cramers_v, _p(t.p, t.exact), _p(t.adjusted)) for t in found.tests]
        tables["Is the attribute distributed alike?"] = (TESTS, rows)
    else:
        rows = [
            (name, value, str(s) if s.raw is not None else f"{s.share:.1%}", f"{s.low:.1%} to {s.high:.1%}", s.n)
            for name, values in found.real.items()
            for value, s in values.items()
        ]
        tables["Shares"] = (ONE_SIDE, rows)
    if found.judges:
        rows = []
        for name, judge in found.judges.items():
            rows.append((name, "all: wrong", *_percent(judge.error())))
            rows += [(name, f"{value}: recognised", *_percent(share)) for value, share in judge.recalls().items()]
        tables["The classifier, on pictures it has not learned from"] = (ONE_SIDE, rows)
    return tables


def _percent(share: Share) -> tuple[str, str, int]:
    return f"{share.share:.1%}", f"{share.low:.1%} to {share.high:.1%}", share.n


def _p(p: float, exact: bool = False) -> str:
    return ("< 0.0001" if p < 1e-4 else f"{p:.4f}") + (" (permutations)" if exact else "")


def _chart(found: _Found) -> Chart:
    from facegen.show.audit import audit_chart, sides

    if found.differences:
        return audit_chart(*sides(found.differences))
    return audit_chart(found.real, title="Who is in the data")


def _notes(found: _Found) -> list[str]:
    notes = ["Intervals hold the true value in 95 % of cases, each by itself."]
    if found.differences:
        notes.append(
            "p, Holm: corrected for the number of tests; a star marks values below 0.05. Both sides count as samples: against "
            "just these training pictures the tests are a little too careful. No star does not mean that nothing differs: the "
            "interval says how much still may."
        )
    if found.judges:
        notes.append(
            "The labels of generated pictures are a classifier's. Shares are corrected by its confusion matrix, intervals hold "
            "what is unsure in that, too, and p compares what it says of both sides; [said] is what it says uncorrected. All "
            "this assumes that it errs on generated pictures as on the labelled ones, which no number here can check."
        )
    return notes


def _facts(found: _Found) -> dict[str, object]:
    return {
        "protocol": found.protocol,
        "shares": {name: {value: asdict(share) for value, share in values.items()} for name, values in found.real.items()},
        "differences": [{**asdict(row), "significant": row.significant} for row in found.differences],
        "tests": [{**asdict(test), "significant": test.significant} for test in found.tests],
        "classifiers": {
            name: {
                "values": judge.values,
                "error": asdict(judge.error()),
                "confusion": judge.confusion.tolist(),
                "C": judge.penalty,
            }
            for name, judge in found.judges.items()
        },
        "notes": [*_notes(found), *found.notes],
    }


def _command(args: argparse.Namespace) -> str:
    given = {name: value for name, value in vars(args).items() if name != "verb" and value is not None}
    return shlex.join(["facegen", "audit", *(f"--{name.replace('_', '-')}={value}" for name, value in given.items())])

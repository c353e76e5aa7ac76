"""The verbs that edit: walk, mix, directions, edit, transfer, blend. The same for StyleGAN2 and StyleGAN3."""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from facegen.files import InputError
from facegen.verbs.common import GRID_SIDE, add_verb, check_file, check_picture, pair_of, seeds_of

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor, nn

    from facegen.latent.edit import Directions

FILMS = (".mp4", ".gif", ".webp")
PHOTOS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".heic")
MOST_PIXELS = 178_956_970  # pictures with more are refused by Pillow and others as a possible attack
MOST_FACES = 4096  # of one flag, or one sheet
UNRELATED = 0.1  # below this kinship of their weights two models were trained apart


def add_editing(verbs) -> None:
    """Declare all verbs of this module."""
    for add in (add_walk, add_mix, add_directions, add_edit, add_transfer, add_blend):
        add(verbs)


# -- what the verbs share


def _add_network(parser: argparse.ArgumentParser, flag: str = "--network", text: str = "") -> None:
    text = text or "a network file, its address, or a name of `facegen models`"
    parser.add_argument(flag, required=True, metavar="FILE|URL|NAME", help=text)


def _add_common(parser: argparse.ArgumentParser, trunc: float = 1.0) -> None:
    text = "StyleGAN2's noise inputs: const (as stored in the network) or none: smoother, the same for all faces"
    parser.add_argument("--noise-mode", choices=["const", "none"], default="const", help=text)
    text = "below 1: more usual faces of the seeds; latents from files stay as they are"
    parser.add_argument("--trunc", type=float, default=trunc, metavar="PSI", help=text)
    parser.add_argument("--class", dest="label", type=int, metavar="K", help="which class, for a network that has classes")
    parser.add_argument("--device", default="auto", help="cpu, cuda, mps, or auto")


def _add_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scale", type=int, metavar="N", help="enlarge a sheet's faces N times (default: to 96 pixels or more)"
    )


def _load(name: str, device: str) -> nn.Module:
    from facegen.config import device as chosen_device
    from facegen.models.pretrained import load
    from facegen.models.published import network_file

    on = chosen_device(device)
    return load(network_file(name)).G.to(on)


def _sources(flag: str, text: str) -> list[int | Path]:
    """ "0-2,me.npz" -> [0, 1, 2, Path("me.npz")]; every file is there."""
    found: list[int | Path] = []
    for part in (part.strip() for part in text.split(",")):
        path = Path(part)
        if path.suffix.lower() == ".npz":
            if not path.is_file():
                raise InputError(f"{flag}: {path} is not there")
            found.append(path)
        elif path.suffix.lower() in PHOTOS:
            raise InputError(f"{flag}: {path} is a picture, which has no latents yet: find them with `facegen project`")
        else:
            try:
                found += seeds_of(part)
            except argparse.ArgumentTypeError:
                raise InputError(
                    f"{flag} {text!r}: give seeds and .npz files with commas between them, such as 0-3,7,me.npz"
                ) from None
    if len(found) > MOST_FACES:
        raise InputError(f"{flag}: {len(found)} faces are too many, give {MOST_FACES} at most")
    return found


def _faces(G: nn.Module, sources: Sequence[int | Path], trunc: float, label: int | None) -> tuple[Tensor, list[str]]:
    """ws [N, num_ws, w_dim] of seeds and files in their order, and what each face is called."""
    import torch

    from facegen.latent.edit import check_styles, ws_of
    from facegen.latent.project import load_latents

    check_styles(G)
    parts, names = [], []
    for source in sources:
        if isinstance(source, Path):
            ws = load_latents(source, G)
            names += [source.stem] if len(ws) == 1 else [f"{source.stem} {i}" for i in range(len(ws))]
        else:
            ws = ws_of(G, [source], trunc=trunc, labels=label)
            names.append(f"seed {source}")
        parts.append(ws)
    return torch.cat(parts), names


def _check_film(flag: str, path: Path, fps: float) -> None:
    """Refuse, before the work, a film that could not be written after it."""
    from facegen.show.video import check_film, check_rate

    check_film(path)
    check_rate(fps)
    check_file(flag, path)


def _check_sheet(
    path: Path, size: int, rows: Sequence[str], columns: Sequence[str], scale: int | None, sources: bool = False
) -> None:
    """Refuse, before the work, a sheet that could not be written or opened."""
    from facegen.show.edit_widgets import sheet_size

    width, height = sheet_size(size, rows, columns, scale, sources)
    fits = max(width, height) <= GRID_SIDE[path.suffix.lower()] and width * height <= MOST_PIXELS
    if not fits or len(rows) * len(columns) > MOST_FACES:
        raise InputError(f"{path}: {len(rows)} x {len(columns)} faces in {width} x {height} pixels are too many; ask for fewer")


def _check_scale(scale: int | None) -> None:
    if scale is not None and not 1 <= scale <= 64:
        raise InputError(f"--scale {scale}: give a whole number from 1 to 64")


def _save(picture: Image.Image, path: Path) -> None:
    from facegen.show.grids import save_image
    from facegen.show.video import SYNTHETIC

    save_image(picture, path, synthetic=SYNTHETIC)


# -- walk


def add_walk(verbs) -> None:
    parser = add_verb(
        verbs,
        "walk",
        _walk,
        "make a film, or a strip, that goes from face to face: of seeds, and of latents such as projected photos",
        "facegen walk --network runs/sg2/network.safetensors --between 3,me.npz,12 --frames 60 --loop --out walk.mp4",
    )
    _add_network(parser)
    text = "the faces in turn: seeds and .npz latents, such as 0-3,me.npz"
    parser.add_argument("--between", required=True, metavar="SEEDS|FILE.npz,...", help=text)
    text = "w: straight lines, the default; z: along the sphere of the noise, for seeds only"
    parser.add_argument("--space", choices=["z", "w"], metavar="z|w", help=text)
    text = "from each face to the next (default: 60 of a film, 8 of a strip)"
    parser.add_argument("--frames", type=int, metavar="N", help=text)
    parser.add_argument("--loop", action="store_true", help="go back to the first face, so that the film closes")
    text = "smooth and sine slow down at every face, linear does not"
    parser.add_argument("--easing", choices=["smooth", "linear", "sine"], default="smooth", help=text)
    text = "a film: .mp4, .gif or .webp; or .png: a strip with a row from each face to the next"
    parser.add_argument("--out", type=Path, default=Path("walk.mp4"), metavar="FILE", help=text)
    parser.add_argument("--fps", type=float, default=25.0, metavar="X", help="frames per second, 1 to 50")
    parser.add_argument("--width", type=int, default=256, metavar="N", help="pixels that a film is wide at least")
    _add_common(parser)
    _add_scale(parser)
    group = parser.add_argument_group("StyleGAN3: the picture as a whole moves on the way, also with a single face")
    group.add_argument("--turn", type=float, metavar="DEG", help="turn by so many degrees, counter-clockwise")
    text = "shift by so many picture widths to the right and down, such as 0.2,0; a loop goes there and back"
    group.add_argument("--shift", metavar="X,Y", help=text)


def _check_walk(args: argparse.Namespace, sources: Sequence[int | Path], strip: bool) -> None:
    """Refuse, before the work, what could not be written, and flags that do not go together."""
    if not strip and args.out.suffix.lower() not in FILMS:
        raise InputError(f"--out {args.out}: the name must end in .mp4, .gif or .webp (films), or .png (a strip)")
    if args.width < 1:
        raise InputError(f"--width {args.width}: give at least 1")
    if args.space == "z" and any(isinstance(source, Path) for source in sources):
        raise InputError("--space z: a file holds latents in w, which have no z; leave --space out")
    _check_scale(args.scale)
    check_file("--out", args.out)
    if not strip:
        _check_film("--out", args.out, args.fps)


def _walk(args: argparse.Namespace) -> int:
    strip, sources = args.out.suffix.lower() == ".png", _sources("--between", args.between)
    _check_walk(args, sources, strip)
    frames = args.frames if args.frames is not None else 8 if strip else 60
    shift = pair_of("--shift", args.shift) if args.shift is not None else (0.0, 0.0)

    from facegen.latent.sample import can_move

    G = _load(args.network, args.device)
    motion = args.turn is not None or args.shift is not None
    if motion and not can_move(G):
        raise InputError("only a StyleGAN3 network can turn or shift its pictures: this one draws on a fixed grid")
    ws, names = _path(G, args, sources, frames, motion)
    batches = _pictures(G, ws, args.turn or 0.0, shift, args.loop) if motion else _still(G, ws, args.noise_mode)
    if strip:
        return _save_strip(args, G, batches, names, frames)
    changes = _Changes(batches)

    from facegen.show.video import save_frames

    save_frames(changes, args.out, args.fps, width=args.width)
    size = f"{args.out.stat().st_size / 1e6:.2f} MB"
    print(f"{args.out}: {len(ws)} frames, {len(ws) / args.fps:.3g} s, {size}; {changes.said()}")
    return 0


def _path(
    G: nn.Module, args: argparse.Namespace, sources: Sequence[int | Path], frames: int, motion: bool
) -> tuple[Tensor, list[str]]:
    """What every frame is made of, ws [F, num_ws, w_dim] (z [F, z_dim] for a generator without w), and the faces' names."""
    from facegen.latent.edit import mapped, walk
    from facegen.latent.sample import has_styles, latents

    styles = has_styles(G)
    if args.space == "z" or (args.space is None and not styles):
        if any(isinstance(source, Path) for source in sources):
            raise InputError("this generator has no w: walk between seeds")
        names, points = [f"seed {seed}" for seed in sources], latents(G, sources)
    else:
        points, names = _faces(G, sources, args.trunc, args.label)
    if len(points) == 1 and motion:
        if frames < 1:
            raise InputError(f"--frames {frames}: give 1 or more")
        path = points.repeat(frames, *[1] * (points.ndim - 1))
    else:
        path = walk(points, frames, loop=args.loop, easing=args.easing, sphere=points.ndim == 2)
    if not styles:
        if args.trunc != 1 or args.label is not None:
            raise InputError("this generator has neither truncation nor classes (a DCGAN): leave --trunc and --class out")
        return path, names
    return (mapped(G, path, trunc=args.trunc, labels=args.label) if path.ndim == 2 else path), names


def _still(G: nn.Module, path: Tensor, noise_mode: str) -> Iterator[Tensor]:
    import torch
    from tqdm.auto import tqdm

    from facegen.data.packed import to_pixels
    from facegen.latent.edit import face_batches
    from facegen.latent.sample import evaluating

    if path.ndim == 3:
        yield from face_batches(G, path, noise_mode=noise_mode)
        return
    where = next(G.parameters()).device
    for part in tqdm(path.split(64), unit="batch", disable=None):
        with torch.no_grad(), evaluating(G):
            faces = to_pixels(G(part.to(where))).expand(-1, 3, -1, -1)
        yield faces


def _pictures(G: nn.Module, ws: Tensor, turn: float, shift: tuple[float, float], loop: bool) -> Iterator[Tensor]:
    """Frame by frame, because a StyleGAN3's motion holds for all pictures of a batch."""
    from tqdm.auto import tqdm

    from facegen.latent.edit import face_batches
    from facegen.latent.sample import moved

    count = len(ws)
    for i in tqdm(range(count), unit="face", disable=None):
        even = i / (count if loop else max(1, count - 1))
        back = (1 - math.cos(2 * math.pi * i / count)) / 2 if loop else even  # a loop comes back where it began
        angle = turn * (even if turn % 360 == 0 else back)
        with moved(G, (shift[0] * back, shift[1] * back), angle):
            yield from face_batches(G, ws[i : i + 1], progress=False)


class _Changes:
    """Passes batches of pictures on, and measures how much the pixels change from each to the next."""

    def __init__(self, batches: Iterable[Tensor]) -> None:
        self._batches, self.steps, self.closing = batches, [], math.nan

    def __iter__(self) -> Iterator[Tensor]:
        first = last = None
        for batch in self._batches:
            for face in batch.float():
                if last is None:
                    first = face
                else:
                    self.steps.append(_rms(face, last))
                last = face
            yield batch
        if first is not None:
            self.closing = _rms(first, last)

    def said(self) -> str:
        """The steps in words, in percent of the range from black to white."""
        if not self.steps:
            return "a single frame"
        mean, most = sum(self.steps) / len(self.steps), max(self.steps)
        steps = f"from frame to frame pixels change by {mean:.2%}, at most {most:.2%}"
        return f"{steps}; from the last to the first {self.closing:.2%}"


def _rms(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean().sqrt()) / 255


def _save_strip(args: argparse.Namespace, G: nn.Module, batches: Iterator[Tensor], names: list[str], frames: int) -> int:
    import torch

    from facegen.show.edit_widgets import sheet

    single = len(names) == 1
    legs = 1 if single else len(names) - (not args.loop)
    columns = [f"{i / frames:.0%}" for i in range(frames + (not single))]
    rows = names[:legs]
    _check_sheet(args.out, G.img_resolution, rows, columns, args.scale)
    faces = torch.cat(list(batches))
    order = [(leg * frames + i) % len(faces) for leg in range(legs) for i in range(len(columns))]
    _save(sheet(faces[order], rows, columns, scale=args.scale), args.out)
    print(f"{args.out}: {len(faces)} frames in {legs} rows; {_said_of(faces)}")
    return 0


def _said_of(faces: Tensor) -> str:
    changes = _Changes([faces])
    for _ in changes:
        pass
    return changes.said()


# -- mix


def add_mix(verbs) -> None:
    parser = add_verb(
        verbs,
        "mix",
        _mix,
        "make a table of faces, each with its row's face but some layers of its column's (style mixing)",
        "facegen mix --network runs/sg2/network.safetensors --rows 0-3 --columns 10-14,me.npz --layers coarse --out mix.png",
    )
    _add_network(parser)
    parser.add_argument("--rows", required=True, metavar="SEEDS|FILE.npz,...", help="whose faces they are")
    parser.add_argument("--columns", required=True, metavar="SEEDS|FILE.npz,...", help="who gives the layers")
    text = "which: numbers such as 0-3,7, or coarse, middle, fine (thirds of all)"
    parser.add_argument("--layers", default="coarse", metavar="LIST", help=text)
    parser.add_argument("--out", type=Path, default=Path("mix.png"), metavar="FILE", help=".png, .jpg or .webp")
    _add_common(parser)
    _add_scale(parser)


def _mix(args: argparse.Namespace) -> int:
    rows, columns = _sources("--rows", args.rows), _sources("--columns", args.columns)
    _check_scale(args.scale)
    check_picture("--out", args.out)

    import torch

    from facegen.latent.edit import faces_of, mixing_table, parse_layers
    from facegen.show.edit_widgets import sheet

    G = _load(args.network, args.device)
    row_ws, row_names = _faces(G, rows, args.trunc, args.label)
    column_ws, column_names = _faces(G, columns, args.trunc, args.label)
    layers = parse_layers(args.layers, G.num_ws)
    names = [["", *row_names], ["", *column_names]]
    _check_sheet(args.out, G.img_resolution, *names, args.scale, sources=True)
    table = mixing_table(row_ws, column_ws, layers).unflatten(0, (len(row_ws), len(column_ws)))
    first = torch.cat([column_ws[:1], column_ws])  # the corner is not shown
    everything = torch.cat([first[None], torch.cat([row_ws[:, None], table], 1)]).flatten(0, 1)
    _save(sheet(faces_of(G, everything, noise_mode=args.noise_mode), *names, scale=args.scale, sources=True), args.out)
    shown, left = ", ".join(map(str, layers)), G.num_ws - len(layers)
    print(f"{args.out}: {len(row_ws)} x {len(column_ws)} faces; layers {shown} are the column's, the other {left} the row's")
    return 0


# -- directions


def add_directions(verbs) -> None:
    parser = add_verb(
        verbs,
        "directions",
        _directions,
        "find directions in w along which faces change: the widest (pca), those that the styles answer to most (factor), or "
        "those of attributes that you rated (labels)",
        "facegen directions --network runs/sg2/network.safetensors --method pca --out directions.npz --sheet sheet.png",
    )
    _add_network(parser)
    parser.add_argument("--method", choices=["pca", "factor", "labels"], default="pca", help="how they are found")
    text = (
        "for labels: a CSV whose first line is seed,NAME[,NAME...], and whose other lines are a seed of `facegen generate` and "
        "0 or 1 for each name (or nothing where you cannot tell); it takes 100 rated seeds or more"
    )
    parser.add_argument("--labels", type=Path, metavar="FILE.csv", help=text)
    parser.add_argument("--count", type=int, default=10, metavar="N", help="how many, of pca and factor")
    parser.add_argument("--samples", type=int, default=10_000, metavar="N", help="random w that pca looks at")
    text = "factor: only those layers' styles; and the sheet moves only them: such as 0-3,7, coarse, middle, fine"
    parser.add_argument("--layers", metavar="LIST", help=text)
    parser.add_argument("--out", type=Path, default=Path("directions.npz"), metavar="FILE.npz", help="for `facegen edit`")
    text = "also a picture: a row for each direction, from -3 to 3 standard deviations"
    parser.add_argument("--sheet", type=Path, metavar="FILE", help=text)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the sheet's face")
    _add_common(parser, trunc=0.7)
    _add_scale(parser)


SHEET_STRENGTHS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
SHEET_ROWS = 12


def _directions(args: argparse.Namespace) -> int:
    if args.out.suffix.lower() != ".npz":
        raise InputError(f"--out {args.out}: the name must end in .npz")
    check_file("--out", args.out)
    if args.sheet:
        check_picture("--sheet", args.sheet)
    _check_scale(args.scale)
    if (args.method == "labels") != (args.labels is not None):
        raise InputError("--method labels and --labels FILE.csv go together: give both or neither")
    rated = read_labels(args.labels) if args.labels else {}
    if args.count < 1 or args.samples < 2:
        raise InputError(f"--count {args.count} --samples {args.samples}: give at least 1 and 2")

    from facegen.latent.edit import save_directions
    from facegen.show.text import table

    G = _load(args.network, args.device)
    found = _found(G, args, rated)
    if args.sheet:
        _save(_direction_sheet(G, args, found), args.sheet)
    save_directions(args.out, found)
    means = {"pca": "share of variance", "factors": "share of styles", "labels": "accuracy on held w"}[found.kind]
    rows = [[i, name, float(found.strengths[i]), float(found.scales[i])] for i, name in enumerate(found.names)]
    print(table(rows, ["number", "name", means, "1 standard deviation"]))
    print(", ".join(str(path) for path in (args.out, args.sheet) if path))
    return 0


def _found(G: nn.Module, args: argparse.Namespace, rated: dict[str, dict[int, int]]) -> Directions:
    import torch

    from facegen.latent.edit import (
        factor_directions,
        joined,
        label_direction,
        parse_layers,
        principal_directions,
        ws_of,
    )

    if args.method == "pca":
        return principal_directions(G, args.count, args.samples, labels=args.label)
    if args.method == "factor":
        layers = parse_layers(args.layers, G.num_ws) if args.layers else None
        return factor_directions(G, args.count, layers, labels=args.label)
    sets = []
    for name, labels in rated.items():
        w = ws_of(G, labels, labels=args.label)[:, 0]
        sets.append(label_direction(w, torch.tensor(list(labels.values())), name))
    return joined(sets)


def read_labels(path: Path) -> dict[str, dict[int, int]]:
    """Ratings from a CSV: name -> {seed: 0 or 1}; the first line is seed,NAME[,NAME...], an empty field is no rating.

    Raises:
        InputError: no such file, or a line that is none of this, by its number.
    """
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--labels {path}: cannot be read as CSV ({type(error).__name__})") from None
    head = [word.strip() for word in lines[0]] if lines else []
    if len(head) < 2 or head[0].lower() != "seed" or len(set(head)) < len(head) or not all(head):
        raise InputError(f"--labels {path}: the first line must be seed,NAME[,NAME...], with different names")
    rated: dict[str, dict[int, int]] = {name: {} for name in head[1:]}
    for number, fields in enumerate(lines[1:], 2):
        fields = [field.strip() for field in fields]
        if not any(fields):
            continue
        known = len(fields) == len(head) and fields[0].isdecimal() and all(field in ("", "0", "1") for field in fields[1:])
        if not known or int(fields[0]) >= 2**32:
            wanted = ",".join(["SEED", *["0|1"] * (len(head) - 1)])
            raise InputError(f"--labels {path}, line {number}: wanted is {wanted}, found {','.join(fields)[:60]!r}")
        for name, field in zip(head[1:], fields[1:]):
            if field and rated[name].setdefault(int(fields[0]), int(field)) != int(field):
                raise InputError(f"--labels {path}, line {number}: seed {fields[0]} is rated twice, once 0 and once 1")
    return rated


def _signed(strengths: Sequence[float]) -> list[str]:
    return [f"{strength:+g}" if strength else "0" for strength in strengths]


def _direction_sheet(G: nn.Module, args: argparse.Namespace, found: Directions) -> Image.Image:
    import torch

    from facegen.latent.edit import faces_of, moved_along, parse_layers, ws_of
    from facegen.show.edit_widgets import sheet

    layers = parse_layers(args.layers, G.num_ws) if args.layers else None
    ws, strengths = ws_of(G, [args.seed], trunc=args.trunc, labels=args.label), torch.tensor(SHEET_STRENGTHS)
    rows, columns = found.names[:SHEET_ROWS], _signed(SHEET_STRENGTHS)
    _check_sheet(args.sheet, G.img_resolution, rows, columns, args.scale)
    parts = [moved_along(ws, found.vectors[i], strengths * found.scales[i], layers) for i in range(len(rows))]
    return sheet(faces_of(G, torch.cat(parts), noise_mode=args.noise_mode), rows, columns, scale=args.scale)


# -- edit


def add_edit(verbs) -> None:
    parser = add_verb(
        verbs,
        "edit",
        _edit,
        "move faces along a direction of `facegen directions`: a sheet, or a film that goes there and back",
        "facegen edit --network runs/sg2/network.safetensors --latent me.npz --directions directions.npz --direction 0 "
        "--strengths=-3,..,3 --layers middle --out sheet.png",
    )
    _add_network(parser)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--latent", metavar="FILE.npz,...", help="latents, such as projected photos, or seeds among them")
    group.add_argument("--seeds", metavar="LIST", help="faces of seeds: 0-7 or 1,5")
    parser.add_argument("--directions", required=True, type=Path, metavar="FILE.npz", help="from `facegen directions`")
    parser.add_argument("--direction", default="0", metavar="N|NAME", help="which of them")
    text = "in standard deviations: numbers with commas; -3,..,3 counts in ones, -3,-2.5,..,3 in halves; a film uses both ends"
    parser.add_argument("--strengths", default="-3,..,3", metavar="LIST", help=text)
    parser.add_argument("--layers", metavar="LIST", help="move only them: such as 0-3,7, coarse, middle, fine (default: all)")
    text = "a sheet: .png or .jpg; or a film: .mp4, .gif or .webp"
    parser.add_argument("--out", type=Path, default=Path("edit.png"), metavar="FILE", help=text)
    parser.add_argument("--frames", type=int, default=100, metavar="N", help="of a film, there and back")
    parser.add_argument("--fps", type=float, default=25.0, metavar="X", help="frames per second, 1 to 50")
    parser.add_argument("--width", type=int, default=256, metavar="N", help="pixels that a film is wide at least")
    parser.add_argument("--save", type=Path, metavar="FILE.npz", help="also the latents at the last strength")
    _add_common(parser)
    _add_scale(parser)


def strengths_of(text: str) -> list[float]:
    """ "-1,0,2" -> [-1.0, 0.0, 2.0]; "-2,..,1" -> [-2, -1, 0, 1]; "0,0.5,..,1.5" -> [0, 0.5, 1, 1.5].

    Raises:
        InputError: not such a list.
    """
    refused = InputError(f"--strengths {text!r}: give numbers such as --strengths=-3,0,3, or --strengths=-3,..,3")
    words = [word.strip() for word in text.split(",")]
    try:
        if ".." not in words:
            numbers = [float(word) for word in words]
        else:
            *begin, dots, end = words
            first, last = float(begin[0]), float(end)
            step = float(begin[1]) - first if len(begin) == 2 else math.copysign(1.0, last - first)
            steps = (last - first) / step
            if dots != ".." or len(begin) > 2 or not 0 <= steps < 1000:
                raise refused
            numbers = [first + i * step for i in range(math.floor(steps + 1e-6) + 1)]
    except (ValueError, IndexError, ZeroDivisionError, OverflowError):
        raise refused from None
    if not all(math.isfinite(number) for number in numbers):
        raise refused
    return numbers


def _check_edit(args: argparse.Namespace) -> bool:
    """Refuse, before the work, what could not be written; whether it shall be a film."""
    film = args.out.suffix.lower() in FILMS
    if film:
        _check_film("--out", args.out, args.fps)
        if args.frames < 2 or args.width < 1:
            raise InputError(f"--frames {args.frames} --width {args.width}: give at least 2 and 1")
    else:
        check_picture("--out", args.out)
    if args.save:
        if args.save.suffix.lower() != ".npz":
            raise InputError(f"--save {args.save}: the name must end in .npz")
        check_file("--save", args.save)
    _check_scale(args.scale)
    return film


def _edit(args: argparse.Namespace) -> int:
    film, strengths = _check_edit(args), strengths_of(args.strengths)
    flag, text = ("--latent", args.latent) if args.latent is not None else ("--seeds", args.seeds)
    sources = _sources(flag, text)

    import torch

    from facegen.latent.edit import chosen, faces_of, load_directions, moved_along, parse_layers
    from facegen.latent.project import save_latents
    from facegen.show.edit_widgets import sheet

    G = _load(args.network, args.device)
    found = load_directions(args.directions, G)
    which = chosen(found, args.direction)
    layers = parse_layers(args.layers, G.num_ws) if args.layers else None
    ws, names = _faces(G, sources, args.trunc, args.label)
    vector = found.vectors[which] * found.scales[which]
    said = f"{len(ws)} faces along {found.names[which]!r}, {strengths[0]:g} to {strengths[-1]:g} standard deviations"
    if film:
        changes = _edit_film(args, G, ws, vector, strengths, layers)
        said += f"; {changes.said()}"
    else:
        columns = _signed(strengths)
        _check_sheet(args.out, G.img_resolution, names, columns, args.scale)
        rows = [moved_along(one[None], vector, torch.tensor(strengths), layers) for one in ws]
        _save(sheet(faces_of(G, torch.cat(rows), noise_mode=args.noise_mode), names, columns, scale=args.scale), args.out)
    if args.save:
        save_latents(args.save, moved_along(ws, vector, strengths[-1], layers))
        said += f"; latents at {strengths[-1]:g} in {args.save}"
    print(f"{args.out}: {said}")
    return 0


def _edit_film(
    args: argparse.Namespace, G: nn.Module, ws: Tensor, vector: Tensor, strengths: Sequence[float], layers: list[int] | None
) -> _Changes:
    """All faces side by side from the least strength to the greatest and back."""
    import numpy as np
    import torch
    from tqdm.auto import tqdm

    from facegen.latent.edit import faces_of, moved_along
    from facegen.show.grids import grid
    from facegen.show.video import save_frames

    low, high = min(strengths), max(strengths)

    def frames() -> Iterator[Tensor]:
        for i in tqdm(range(args.frames), unit="frame", disable=None):
            strength = low + (high - low) * (1 - math.cos(2 * math.pi * i / args.frames)) / 2
            faces = faces_of(G, moved_along(ws, vector, strength, layers), noise_mode=args.noise_mode, progress=False)
            picture = grid(faces, padding=0)
            yield torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]

    changes = _Changes(frames())
    save_frames(changes, args.out, args.fps, width=args.width)
    return changes


# -- crosses of two models


def add_transfer(verbs) -> None:
    parser = add_verb(
        verbs,
        "transfer",
        _transfer,
        "show the same latents in a model and in one that was fine-tuned from it: style transfer between models",
        "facegen transfer --network faces.safetensors --child cartoon.safetensors --latents me.npz --out pairs.png",
    )
    _add_network(parser, text="the parent: a network file, its address, or a name of `facegen models`")
    text = "a network that was trained from the parent (`facegen train --resume`); may be given several times"
    parser.add_argument("--child", required=True, action="append", metavar="FILE|URL|NAME", help=text)
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--seeds", metavar="LIST", help="faces of the parent's seeds: 0-7 or 1,5")
    group.add_argument("--latents", metavar="FILE.npz,...", help="latents in the parent's w, such as projected photos")
    parser.add_argument("--out", type=Path, default=Path("pairs.png"), metavar="FILE", help=".png, .jpg or .webp")
    _add_common(parser)
    _add_scale(parser)


def _transfer(args: argparse.Namespace) -> int:
    flag, text = ("--latents", args.latents) if args.latents is not None else ("--seeds", args.seeds)
    sources = _sources(flag, text)
    _check_scale(args.scale)
    check_picture("--out", args.out)

    import torch

    from facegen.latent.edit import faces_of
    from facegen.show.edit_widgets import sheet

    parent = _load(args.network, args.device)
    models, alike = [(_short(args.network), parent)], []
    for name in args.child:
        child = _load(name, args.device)
        alike.append(_check_kin(args.network, parent, name, child))
        models.append((_short(name), child))
    ws, columns = _faces(parent, sources, args.trunc, args.label)
    rows = [name for name, _ in models]
    _check_sheet(args.out, parent.img_resolution, rows, columns, args.scale)
    faces = torch.cat([faces_of(G, ws, noise_mode=args.noise_mode) for _, G in models])
    _save(sheet(faces, rows, columns, scale=args.scale), args.out)
    common = ", ".join(f"{number:.2f}" for number in alike)
    print(f"{args.out}: {len(ws)} faces in {' and '.join(rows)}; weights in common (1 is all): {common}")
    return 0


def _check_kin(first: str, a: nn.Module, second: str, b: nn.Module) -> float:
    """Refuse models that do not fit each other, and warn of two that were trained apart; how much they have in common."""
    from facegen.latent.edit import kinship

    try:
        alike = kinship(a, b)
    except InputError as error:
        raise InputError(f"{first} and {second}: {error}") from None
    if alike < UNRELATED:
        print(
            f"facegen: {second} does not seem to descend from {first}: their weights have {alike:.2f} in common, relatives "
            "above 0.5 as a rule; expect no faces that match, and train one from the other with `facegen train --resume`",
            file=sys.stderr,
        )
    return alike


def _short(name: str) -> str:
    """A file's name without its suffix, or its run's where it is a run's last network."""
    path = Path(name)
    return path.parent.name if path.stem == "network" and path.parent.name else path.stem or name


def add_blend(verbs) -> None:
    parser = add_verb(
        verbs,
        "blend",
        _blend,
        "cross two relatives: one's coarse layers with the other's fine ones, or all weights in between; you get a relative of "
        "a model by training it on with your pictures: facegen train --cfg=... --resume MODEL --data DIR --kimg 200",
        "facegen blend --network faces.safetensors --with cartoon.safetensors --from-layer 5 --out blended.safetensors",
    )
    _add_network(parser, text="the first: a network file, its address, or a name of `facegen models`")
    text = "the second, of the same kind and size: one is trained from the other, or both from a third"
    _add_network(parser, "--with", text)
    group = parser.add_mutually_exclusive_group(required=True)
    text = "layer swapping: from this layer on the second's: 0 is all of the second"
    group.add_argument("--from-layer", type=int, metavar="K", help=text)
    text = "weight blending: every weight so far on the way from the first (0) to the second (1)"
    group.add_argument("--share", type=float, metavar="X", help=text)
    text = "with --from-layer: layers over which the weights change; 0 is a cut"
    parser.add_argument("--width", type=float, default=0.0, metavar="X", help=text)
    text = "with --from-layer: the first model's mapping network, or the second's"
    parser.add_argument("--mapping", choices=["first", "second"], default="first", help=text)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.safetensors", help="the new network")
    parser.add_argument("--grid", type=Path, metavar="FILE", help="also a picture: the first, the new, and the second's faces")
    parser.add_argument("--seeds", default="0-7", metavar="LIST", help="the picture's faces: seeds, or .npz latents")
    _add_common(parser)
    _add_scale(parser)


def _check_blend(args: argparse.Namespace) -> None:
    """Refuse, before the work, what could not be written, and flags that do not go together."""
    if args.out.suffix.lower() != ".safetensors":
        raise InputError(f"--out {args.out}: the name must end in .safetensors")
    check_file("--out", args.out)
    if args.grid:
        check_picture("--grid", args.grid)
    _check_scale(args.scale)
    if not (math.isfinite(args.width) and args.width >= 0):
        raise InputError(f"--width {args.width}: give 0 for a cut, or the layers over which the weights change")
    if args.share is not None and (args.width or args.mapping != "first"):
        raise InputError("--width and --mapping belong to --from-layer: with --share leave them out")


def _blend(args: argparse.Namespace) -> int:
    _check_blend(args)
    sources = _sources("--seeds", args.seeds)

    from facegen.latent.edit import blended, interpolated
    from facegen.models.pretrained import save
    from facegen.models.published import network_file

    names = (args.network, getattr(args, "with"))
    origins = [_origin(name) for name in names]
    for name in names:
        if args.out.exists() and args.out.samefile(network_file(name)):
            raise InputError(f"--out {args.out}: this is {name} itself; give the new one another name")
    a, b = (_load(name, args.device) for name in names)
    alike = _check_kin(names[0], a, names[1], b)
    if args.share is not None:
        child = interpolated(a, b, args.share)
        how: dict[str, object] = {"share": args.share}
        said = f"all weights {args.share:g} of the way from {_short(names[0])} to {_short(names[1])}"
    else:
        child = blended(a, b, args.from_layer, args.width, {"first": "coarse", "second": "fine"}[args.mapping])
        how = {"from_layer": args.from_layer, "width": args.width, "mapping": args.mapping}
        left = a.num_ws - args.from_layer
        said = f"layers below {args.from_layer} of {_short(names[0])}, the other {left} of {_short(names[1])}"
    if args.grid:
        _save(_blend_sheet(args, [a, child, b], [_short(names[0]), args.out.stem, _short(names[1])], sources), args.grid)
    save(args.out, child, None, {"blended_from": origins, **how})
    print(f"{args.out}: {said}; the two have {alike:.2f} of their weights in common{f'; {args.grid}' if args.grid else ''}")
    return 0


def _origin(name: str) -> dict[str, object]:
    """What a blended file says of a model that it was made of."""
    from facegen.files import sha256_of
    from facegen.models.published import find, network_file

    path, known = network_file(name), find(name)
    origin: dict[str, object] = {"file": path.name, "sha256": sha256_of(path)}
    return origin if known is None else {**origin, "licence": known.licence}


def _blend_sheet(
    args: argparse.Namespace, models: Sequence[nn.Module], names: list[str], sources: Sequence[int | Path]
) -> Image.Image:
    """The same ws, those of the first model, in each of three models."""
    import torch

    from facegen.latent.edit import faces_of
    from facegen.show.edit_widgets import sheet

    ws, columns = _faces(models[0], sources, args.trunc, args.label)
    _check_sheet(args.grid, models[0].img_resolution, names, columns, args.scale)
    return sheet(torch.cat([faces_of(G, ws, noise_mode=args.noise_mode) for G in models]), names, columns, scale=args.scale)

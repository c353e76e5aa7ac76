"""From what a person names, seeds and files of latents, to faces on a sheet or the frames of a film."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from facegen.config import TRUNC
from facegen.data.pictures import PICTURE_SUFFIXES, say
from facegen.files import InputError
from facegen.latent.edit import (
    Directions,
    check_styles,
    face_batches,
    faces_of,
    factor_directions,
    joined,
    kinship,
    label_direction,
    mapped,
    moved_along,
    parse_layers,
    principal_directions,
    walk,
    ws_of,
)
from facegen.latent.project import load_latents
from facegen.latent.sample import as_faces, can_move, evaluating, has_styles, latents, moved, seeds_of, usual_batch

Source = int | Path  # a seed, or an .npz file of latents
MOST_FACES = 4096  # of one list
UNRELATED = 0.1  # below this kinship of their weights two models were trained apart


def sources_of(flag: str, text: str) -> list[Source]:
    """ "0-2,me.npz" -> [0, 1, 2, Path("me.npz")].
    """
    found: list[int | Path] = []
    for part in (part.strip() for part in text.split(",")):
        path = Path(part)
        if path.suffix.lower() == ".npz":
            if not path.is_file():
                raise InputError(f"{flag}: {path} is not there")
            found.append(path)
        elif path.suffix.lower() in PICTURE_SUFFIXES:
            raise InputError(f"{flag}: {path} is a picture, which has no latents yet: find them with `facegen project`")
        else:
            try:
                found += seeds_of(part)
            except InputError:
                raise InputError(
                    f"{flag} {text!r}: give seeds and .npz files with commas between them, such as 0-3,7,me.npz"
                ) from None
    if len(found) > MOST_FACES:
        raise InputError(f"{flag}: {len(found)} faces are too many, give {MOST_FACES} at most")
    return found


def strengths_of(text: str) -> list[float]:
    """ "-1,0,2" -> [-1.0, 0.0, 2.0]; "-2,..,1" -> [-2, -1, 0, 1]; "0,0.5,..,1.5" -> [0, 0.5, 1, 1.5].
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


def named_ws(
    G: nn.Module, sources: Sequence[Source], trunc: float = TRUNC, labels: int | None = None
) -> tuple[Tensor, list[str]]:
    """ws [N, num_ws, w_dim] of seeds and files in their order, and what each face is called."""
    check_styles(G)
    parts, names = [], []
    for source in sources:
        if isinstance(source, Path):
            ws = load_latents(source, G)
            names += [source.stem] if len(ws) == 1 else [f"{source.stem} {i}" for i in range(len(ws))]
        else:
            ws = ws_of(G, [source], trunc=trunc, labels=labels)
            names.append(f"seed {source}")
        parts.append(ws)
    return torch.cat(parts), names


def walked(
    G: nn.Module,
    sources: Sequence[Source],
    frames: int,
    *,
    space: str | None = None,
    loop: bool = False,
    easing: str = "smooth",
    trunc: float = TRUNC,
    labels: int | None = None,
    noise_mode: str = "const",
    turn: float | None = None,
    shift: tuple[float, float] | None = None,
) -> tuple[list[str], int, Iterator[Tensor]]:
    """A walk from face to face, or of one face that moves: the faces' names, how many pictures, and these as `face_batches`.

    Args:
        frames: from each face to the next.
        space: "w" walks straight, "z" along the sphere of the noise; None is w where the generator has one.
        loop, easing: as for `walk`.
        turn, shift: degrees, and picture widths to the right and down, by which a StyleGAN3's picture moves on the way.
    """
    styles, moving = has_styles(G), turn is not None or shift is not None
    if moving and not can_move(G):
        raise InputError("only a StyleGAN3 network can turn or shift its pictures: this one draws on a fixed grid")
    if space == "z" or (space is None and not styles):
        if any(isinstance(source, Path) for source in sources):
            raise InputError("a file holds latents in w, which have no z: walk between seeds, or leave --space z out")
        names, points = [f"seed {seed}" for seed in sources], latents(G, sources)
    else:
        points, names = named_ws(G, sources, trunc, labels)
    if len(points) == 1 and moving:
        if frames < 1:
            raise InputError(f"--frames {frames}: give 1 or more")
        path = points.repeat(frames, *[1] * (points.ndim - 1))
    else:
        path = walk(points, frames, loop=loop, easing=easing, sphere=points.ndim == 2)
    if not styles:
        if trunc != 1 or labels is not None:
            raise InputError("this generator has neither truncation nor classes (a DCGAN): leave --trunc and --class out")
        return names, len(path), _drawn_from(G, path)
    ws = mapped(G, path, trunc=trunc, labels=labels) if path.ndim == 2 else path
    pictures = _moving(G, ws, turn or 0.0, shift or (0.0, 0.0), loop) if moving else face_batches(G, ws, noise_mode=noise_mode)
    return names, len(path), pictures


def _drawn_from(G: nn.Module, z: Tensor) -> Iterator[Tensor]:
    where = next(G.parameters()).device
    for part in tqdm(z.split(usual_batch(G)), unit="batch", disable=None):
        with torch.no_grad(), evaluating(G):
            faces = as_faces(G(part.to(where)))
        yield faces


def _moving(G: nn.Module, ws: Tensor, turn: float, shift: tuple[float, float], loop: bool) -> Iterator[Tensor]:
    """One by one, because all of a batch move alike."""
    count = len(ws)
    for i in tqdm(range(count), unit="face", disable=None):
        even = i / (count if loop else max(1, count - 1))
        back = (1 - math.cos(2 * math.pi * i / count)) / 2 if loop else even  # a loop comes back where it began
        with moved(G, (shift[0] * back, shift[1] * back), turn * (even if turn % 360 == 0 else back)):
            yield from face_batches(G, ws[i : i + 1], progress=False)


def edit_frames(
    G: nn.Module, ws: Tensor, vector: Tensor, ends: tuple[float, float], count: int, layers: list[int] | None, noise_mode: str
) -> Iterator[Tensor]:
    """Faces [N, 3, H, W] that move along a direction from one strength to the other and back, frame by frame."""
    for i in tqdm(range(count), unit="frame", disable=None):
        strength = ends[0] + (ends[1] - ends[0]) * (1 - math.cos(2 * math.pi * i / count)) / 2
        yield faces_of(G, moved_along(ws, vector, strength, layers), noise_mode=noise_mode, progress=False)


def read_ratings(path: Path) -> dict[str, dict[int, int]]:
    """Ratings from a CSV: name -> {seed: 0 or 1}; the first line is seed,NAME[,NAME...], an empty field is no rating."""
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


def find_directions(
    G: nn.Module,
    method: str,
    *,
    count: int = 10,
    samples: int = 10_000,
    layers: str | None = None,
    ratings: Path | None = None,
    labels: int | None = None,
) -> Directions:
    """Directions in w by `principal_directions` ("pca"), `factor_directions` ("factor") or `label_direction` ("labels").

    Args:
        count: how many, of the first two.
        samples: random w that "pca" looks at.
        layers: as for `layers_of`; "factor" looks at only them.
        ratings: a CSV for "labels", as for `read_ratings`: a direction for each of its names.
    """
    if method == "pca":
        return principal_directions(G, count, samples, labels=labels)
    if method == "factor":
        return factor_directions(G, count, layers_of(G, layers), labels=labels)
    rated = read_ratings(ratings)
    ws = {name: ws_of(G, seeds, labels=labels)[:, 0] for name, seeds in rated.items()}
    return joined(label_direction(ws[name], torch.tensor([*seeds.values()]), name) for name, seeds in rated.items())


def layers_of(G: nn.Module, text: str | None) -> list[int] | None:
    """As `parse_layers`; None, for all, where nothing is said."""
    return None if text is None else parse_layers(text, G.num_ws)


def in_common(first: str, a: nn.Module, second: str, b: nn.Module) -> float:
    """How much of their weights two models have in common; says so if they were trained apart."""
    try:
        alike = kinship(a, b)
    except InputError as error:
        raise InputError(f"{first} and {second}: {error}") from None
    if alike < UNRELATED:
        say(
            f"facegen: {second} does not seem to descend from {first}: their weights have {alike:.2f} in common, relatives "
            "above 0.5 as a rule; expect no faces that match, and train one from the other with `facegen train --resume`"
        )
    return alike

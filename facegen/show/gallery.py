"""Translated people on one page: each original beside what every kept epoch made of it, with the measured numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from IPython.display import HTML
from PIL import Image

from facegen.files import InputError, write_text
from facegen.latent.translate import People
from facegen.pages import data_address, render
from facegen.show.grids import as_uint8
from facegen.show.report import Picture
from facegen.show.widgets import _best_format, _encoded, _iframe

TITLE = "Translated faces, epoch by epoch"


@dataclass(frozen=True)
class Person:
    """One row of the gallery.

    Attributes:
        name: any text; it is escaped.
        original: uint8 [3, H, W].
        outputs: epoch -> uint8 [3, H, W], what that epoch's network made of the original.
        numbers: epoch -> {"identity kept": 0.62, "change made": 0.08, ...}, shown under the picture as they are named here.
    """

    name: str
    original: torch.Tensor
    outputs: Mapping[int, torch.Tensor]
    numbers: Mapping[int, Mapping[str, float]] = field(default_factory=dict)


def persons(found: People) -> list[Person]:
    """The rows of a gallery of what `facegen.latent.translate.people` found."""
    return [
        Person(
            name,
            found.originals[i],
            {epoch: pictures[i] for epoch, pictures in found.outputs.items()},
            {epoch: numbers[i] for epoch, numbers in found.numbers.items()},
        )
        for i, name in enumerate(found.names)
    ]


def gallery(people: Sequence[Person], out: str | Path, *, title: str = TITLE) -> Path:
    """Write the page of `gallery_html` to the file `out`, completely or not at all, and return its path."""
    out = Path(out)
    if out.is_dir():
        raise InputError(f"{out} is a folder: name a file in it, such as {out / 'index.html'}")
    page = gallery_html(people, title=title)
    write_text(out, page)
    return out


def gallery_html(people: Sequence[Person], *, title: str = TITLE) -> str:
    """One HTML page with everything in it: no network, nothing beside it, any browser, phone or desktop, light or dark.

    A row per person: the original and every epoch side by side with their numbers, and a slider (or a tap on a picture, or
    the arrow keys) that holds one epoch large beside the original. Without scripts the pictures and numbers remain.
    """
    if not people:
        raise InputError("the gallery has nobody to show: give at least one person")
    for person in people:
        _check(person)
    pictures = [_image(person.original) for person in people]
    kind = _best_format(pictures + [_image(_last(person)) for person in people])
    return render("gallery.html", {"title": title, "people": [_row(person, kind) for person in people]})


def show_gallery(people: Sequence[Person], *, title: str = TITLE) -> HTML:
    """`gallery_html` inside a notebook, in a frame of its own.

    Raises:
        InputError: as `gallery_html`.
    """
    return HTML(f"<div>{_iframe(gallery_html(people, title=title), title)}</div>")


def _check(person: Person) -> None:
    name = " ".join(str(person.name).split())
    if not person.outputs:
        raise InputError(f"the gallery has no output of {name!r}: translate the picture with at least one epoch")
    for what, picture in (("original", person.original), *((f"epoch {e}", x) for e, x in person.outputs.items())):
        if not isinstance(picture, torch.Tensor) or picture.dtype != torch.uint8 or picture.ndim != 3 or len(picture) != 3:
            given = f"{list(picture.shape)} {picture.dtype}" if isinstance(picture, torch.Tensor) else type(picture).__name__
            raise InputError(f"{name!r}, {what}: the gallery shows uint8 pictures [3, H, W], got {given}")
    unknown = sorted(set(person.numbers) - set(person.outputs))
    if unknown:
        kept = ", ".join(str(epoch) for epoch in sorted(person.outputs))
        raise InputError(f"{name!r} has numbers for epoch {unknown[0]} but no picture of it: there are {kept}")


def _last(person: Person) -> torch.Tensor:
    return person.outputs[max(person.outputs)]


def _image(picture: torch.Tensor) -> Image.Image:
    return Image.fromarray(as_uint8(picture)[0].permute(1, 2, 0).contiguous().numpy())


def _number(value: float) -> str:
    value = float(value) + 0.0  # turns -0.0 into 0.0
    if not math.isfinite(value):
        return "–"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3f}"


def _row(person: Person, kind: str) -> dict[str, object]:
    """What the template shows of a person."""

    def picture(pixels: torch.Tensor, what: str) -> Picture:
        image = _image(pixels)
        return Picture(data_address(_encoded(image, kind), kind), *image.size, f"{person.name}, {what}")

    epochs = sorted(person.outputs)
    return {
        "name": str(person.name),
        "original": picture(person.original, "original"),
        "outputs": {epoch: picture(person.outputs[epoch], f"epoch {epoch}") for epoch in epochs},
        "numbers": {epoch: {k: _number(v) for k, v in person.numbers.get(epoch, {}).items()} for epoch in epochs},
    }

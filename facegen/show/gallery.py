"""Translated people on one page: each original beside what every kept epoch made of it, with the measured numbers."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import torch
from IPython.display import HTML
from PIL import Image

from facegen.files import InputError, write_text
from facegen.latent.translate import People
from facegen.show.grids import as_uint8
from facegen.show.widgets import _best_format, _encoded, _iframe

__all__ = ["Person", "gallery", "gallery_html", "persons", "show_gallery"]

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
    """Write the page of `gallery_html` to the file `out`, completely or not at all, and return its path.

    Raises:
        InputError: as `gallery_html`, or `out` is a folder.
    """
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

    Raises:
        InputError: nobody to show, a person without outputs, or a picture that is not uint8 [3, H, W].
    """
    if not people:
        raise InputError("the gallery has nobody to show: give at least one person")
    for person in people:
        _check(person)
    pictures = [_image(person.original) for person in people]
    kind = _best_format(pictures + [_image(_last(person)) for person in people])
    rows = "\n".join(_row(person, number, kind) for number, person in enumerate(people, start=1))
    return _PAGE.substitute(title=html.escape(title), rows=rows)


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


def _img(picture: torch.Tensor, kind: str, alt: str) -> str:
    image = _image(picture)
    data = base64.b64encode(_encoded(image, kind)).decode()
    source = f"data:image/{kind.lower()};base64,{data}"
    return f'<img src="{source}" width="{image.width}" height="{image.height}" alt="{html.escape(alt)}">'


def _number(value: float) -> str:
    value = float(value) + 0.0  # turns -0.0 into 0.0
    if not math.isfinite(value):
        return "–"
    return f"{value:.2f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3f}"


def _numbers(numbers: Mapping[str, float]) -> str:
    pairs = (f"<div><dt>{html.escape(str(name))}</dt><dd>{_number(value)}</dd></div>" for name, value in numbers.items())
    return f"<dl>{''.join(pairs)}</dl>" if numbers else ""


def _row(person: Person, number: int, kind: str) -> str:
    name = str(person.name)
    epochs = sorted(person.outputs)
    figures = [f"<figure>{_img(person.original, kind, f'{name}, original')}<figcaption>original</figcaption></figure>"]
    for epoch in epochs:
        picture = _img(person.outputs[epoch], kind, f"{name}, epoch {epoch}")
        button = f'<button type="button" class="pick" data-epoch="{epoch}">{picture}</button>'
        caption = f"<figcaption>epoch {epoch}{_numbers(person.numbers.get(epoch, {}))}</figcaption>"
        figures.append(f"<figure>{button}{caption}</figure>")
    return _ROW.substitute(
        number=number,
        name=html.escape(name),
        figures="\n".join(figures),
        last=len(epochs) - 1,
        disabled="disabled" if len(epochs) == 1 else "",
    )


_ROW = Template(
    """<section class="person" aria-labelledby="person-$number">
<h2 id="person-$number" dir="auto">$name</h2>
<div class="stage" hidden>
<div class="pair">
<figure><img class="before" alt=""><figcaption>original</figcaption></figure>
<figure><img class="after" alt=""><figcaption class="now"></figcaption></figure>
</div>
<input type="range" min="0" max="$last" value="$last" step="1" aria-label="Epoch of $name" autocomplete="off" $disabled>
</div>
<div class="strip">
$figures
</div>
</section>"""
)

# The policy makes a browser refuse whatever is not in the file itself.
_PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root { color-scheme: light dark; --paper: #fff; --ink: #222; --soft: #5f5f5f; --rule: #ddd; --mark: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #17181a; --ink: #eee; --soft: #a5a5a5; --rule: #3a3b3d; --mark: #56b4e9; }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; padding: 12px; background: var(--paper); color: var(--ink); font: 16px/1.4 system-ui, sans-serif; }
main { max-width: 1200px; margin: 0 auto; }
h1 { font-size: 1.3rem; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 0 0 8px; overflow-wrap: anywhere; grid-column: 1 / -1; }
.person { padding: 16px 0; border-top: 1px solid var(--rule); }
h1 + .person { border-top: 0; }
figure { margin: 0; min-width: 0; }
img { display: block; width: 100%; height: auto; border-radius: 4px; }
figcaption { margin-top: 4px; font-size: .85rem; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
dl { margin: 0; }
dl div { display: grid; grid-template-columns: 5ch 1fr; column-gap: 4px; }
dt { color: var(--soft); }
dd { margin: 0; order: -1; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; }
.stage { max-width: 460px; }
.stage input { display: block; width: 100%; height: 44px; margin: 4px 0 0; accent-color: var(--mark); }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(105px, 1fr)); gap: 12px 8px; align-content: start;
  max-width: 700px; }
.pick { display: block; width: 100%; padding: 0; border: 0; border-radius: 4px; background: none; cursor: pointer; }
.pick[aria-pressed="true"] { outline: 3px solid var(--mark); outline-offset: 1px; }
:focus-visible { outline: 3px solid var(--ink); outline-offset: 2px; }
@media (min-width: 900px) {
  .person { display: grid; grid-template-columns: 460px 1fr; column-gap: 28px; }
  .strip { grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); }
}
</style>
<noscript><style>.person { display: block; } .pick { cursor: default; }</style></noscript>
</head>
<body>
<main>
<h1>$title</h1>
$rows
</main>
<script>
"use strict";
for (const person of document.querySelectorAll(".person")) {
  const picks = [...person.querySelectorAll(".pick")];
  const slider = person.querySelector("input");
  const before = person.querySelector(".before");
  const after = person.querySelector(".after");
  const original = person.querySelector(".strip img");
  before.src = original.src;
  before.alt = original.alt;

  const show = (index) => {
    const chosen = picks[index].querySelector("img");
    after.src = chosen.src;
    after.alt = chosen.alt;
    const caption = picks[index].parentElement.querySelector("figcaption").cloneNode(true);
    person.querySelector(".now").replaceChildren(...caption.childNodes);
    picks.forEach((pick, i) => pick.setAttribute("aria-pressed", i === index));
    slider.value = index;
    slider.setAttribute("aria-valuetext", "epoch " + picks[index].dataset.epoch);
  };

  slider.addEventListener("input", () => show(Number(slider.value)));
  picks.forEach((pick, index) => {
    pick.addEventListener("click", () => show(index));
    pick.addEventListener("keydown", (event) => {
      const target = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: picks.length - 1 }[event.key];
      if (target === undefined || event.altKey || event.ctrlKey || event.metaKey || !picks[target]) return;
      event.preventDefault();
      picks[target].focus();
      show(target);
    });
  });
  person.querySelector(".stage").hidden = false;
  show(picks.length - 1);
}

// Inside a notebook's frame: as high as the page needs.
const fit = () => {
  try {
    if (window.frameElement) window.frameElement.style.height = document.documentElement.offsetHeight + "px";
  } catch { /* a frame of another origin keeps the height it has */ }
};
window.addEventListener("load", fit);
window.addEventListener("resize", fit);
</script>
</body>
</html>
"""
)

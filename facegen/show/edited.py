"""What the verbs of edited faces write: sheets, films and networks. Each function returns the line that says what was made.

print(save_mix(G, "0-3", "10-14,me.npz", "coarse", Path("mix.png")))
print(save_walk(G, "3,5,12", Path("walk.mp4"), Look(trunc=0.7), loop=True))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from facegen.config import TRUNC
from facegen.files import InputError, one_line
from facegen.latent.edit import (
    Directions,
    blended,
    chosen,
    faces_of,
    interpolated,
    load_directions,
    mixing_table,
    moved_along,
    parse_layers,
)
from facegen.latent.project import save_latents
from facegen.latent.walks import edit_frames, in_common, layers_of, named_ws, sources_of, strengths_of, walked
from facegen.models.pretrained import check_another, save
from facegen.models.published import network_file, origin, short_name
from facegen.show.edit_widgets import sheet, sheet_size
from facegen.show.grids import SYNTHETIC, check_fits, save_image, side_by_side
from facegen.show.text import table
from facegen.show.video import SMALLEST, SUFFIXES, save_frames

MOST_FACES = 4096  # of a sheet
STRENGTHS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)  # of a sheet of directions, in standard deviations
MOST_ROWS = 12  # of it
Model = tuple[str, nn.Module]  # the file, address or name that a network was loaded from, and its generator


@dataclass(frozen=True)
class Look:
    """How faces of latents are made and laid out."""

    trunc: float = TRUNC  # of seeds; latents from files stay as they are
    labels: int | None = None  # the class, of a network that has classes
    noise_mode: str = "const"
    scale: int | None = None  # of a sheet's faces; by default they have 96 pixels or more

    def ws(self, G: nn.Module, flag: str, text: str) -> tuple[Tensor, list[str]]:
        """ws [N, num_ws, w_dim] of the seeds and files that a flag names, and what each face is called."""
        return named_ws(G, sources_of(flag, text), self.trunc, self.labels)

    def save(
        self, path: Path, models: Sequence[nn.Module], ws: Tensor, rows: Sequence[str], columns: Sequence[str], sources=False
    ) -> None:
        """A `sheet` of the faces of ws in each model."""
        self.check(path, models[0].img_resolution, rows, columns, sources)
        faces = torch.cat([faces_of(G, ws, noise_mode=self.noise_mode) for G in models])
        save_image(sheet(faces, rows, columns, scale=self.scale, sources=sources), path, synthetic=SYNTHETIC)

    def check(self, path: Path, size: int, rows: Sequence[str], columns: Sequence[str], sources: bool = False) -> None:
        """Refuse, before the work, a sheet that could not be written or opened."""
        if len(rows) * len(columns) > MOST_FACES:
            raise InputError(f"{path}: {len(rows)} x {len(columns)} faces are too many; ask for fewer")
        check_fits(path, *sheet_size(size, rows, columns, self.scale, sources))


def save_walk(
    G: nn.Module,
    between: str,
    out: Path,
    look: Look = Look(),
    *,
    frames: int | None = None,
    space: str | None = None,
    loop: bool = False,
    easing: str = "smooth",
    turn: float | None = None,
    shift: tuple[float, float] | None = None,
    fps: float = 25.0,
    width: int = SMALLEST,
) -> str:
    """A film that goes from face to face; or a sheet with a row from each face to the next.

    Args:
        between: the faces, as for `sources_of`.
        frames: from each face to the next; by default 60 of a film, 8 of a sheet.
        space, loop, easing, turn, shift: as for `walked`.
        fps, width: of a film, as for `save_frames`.
    """
    film, sources = out.suffix.lower() in SUFFIXES, sources_of("--between", between)
    frames = (60 if film else 8) if frames is None else frames
    how = {"trunc": look.trunc, "labels": look.labels, "noise_mode": look.noise_mode, "turn": turn, "shift": shift}
    names, count, batches = walked(G, sources, frames, space=space, loop=loop, easing=easing, **how)
    if film:
        save_frames(batches, out, fps, width=width)
        return f"{out}: {count} frames, {count / fps:.3g} s, {out.stat().st_size / 1e6:.2f} MB"
    single = len(names) == 1
    rows = names[: 1 if single else len(names) - (not loop)]
    columns = [f"{i / frames:.0%}" for i in range(frames + (not single))]
    look.check(out, G.img_resolution, rows, columns)
    faces = torch.cat(list(batches))
    order = [(row * frames + i) % len(faces) for row in range(len(rows)) for i in range(len(columns))]
    save_image(sheet(faces[order], rows, columns, scale=look.scale), out, synthetic=SYNTHETIC)
    return f"{out}: {count} frames in {len(rows)} rows"


def save_mix(G: nn.Module, rows: str, columns: str, layers: str, out: Path, look: Look = Look()) -> str:
    """A table of faces, each with its row's face but those layers of its column's; rows and columns as for `sources_of`."""
    (row_ws, row_names), (column_ws, column_names) = look.ws(G, "--rows", rows), look.ws(G, "--columns", columns)
    theirs = parse_layers(layers, G.num_ws)
    mixtures = mixing_table(row_ws, column_ws, theirs).unflatten(0, (len(row_ws), len(column_ws)))
    first = torch.cat([column_ws[:1], column_ws])  # the corner is not shown
    everything = torch.cat([first[None], torch.cat([row_ws[:, None], mixtures], 1)]).flatten(0, 1)
    look.save(out, [G], everything, ["", *row_names], ["", *column_names], sources=True)
    shown, left = ", ".join(map(str, theirs)), G.num_ws - len(theirs)
    return f"{out}: {len(row_ws)} x {len(column_ws)} faces; layers {shown} are the column's, the other {left} the row's"


def save_directions_sheet(
    G: nn.Module, found: Directions, seed: int, out: Path, layers: str | None = None, look: Look = Look()
) -> None:
    """A row for each of the first directions, in which the face of a seed moves along it; in all layers or in some."""
    (ws, _), only = named_ws(G, [seed], look.trunc, look.labels), layers_of(G, layers)
    rows, strengths = found.names[:MOST_ROWS], torch.tensor(STRENGTHS)
    parts = [moved_along(ws, found.vectors[i], strengths * found.scales[i], only) for i in range(len(rows))]
    look.save(out, [G], torch.cat(parts), rows, _signed(STRENGTHS))


def directions_text(found: Directions) -> str:
    """What each direction is called, by what they are ordered, and how far a strength of 1 goes, as a table."""
    means = {"pca": "share of variance", "factors": "share of styles", "labels": "accuracy on held w"}[found.kind]
    rows = [[i, name, float(found.strengths[i]), float(found.scales[i])] for i, name in enumerate(found.names)]
    return table(rows, ["number", "name", means, "1 standard deviation"])


def save_edit(
    G: nn.Module,
    faces: tuple[str, str],
    directions: Path,
    direction: str,
    strengths: str,
    out: Path,
    look: Look = Look(),
    *,
    layers: str | None = None,
    save_at: Path | None = None,
    frames: int = 100,
    fps: float = 25.0,
    width: int = SMALLEST,
) -> str:
    """Faces moved along a direction, as a sheet; or a film that goes there and back.

    Args:
        faces: a flag, and the seeds and files that it names.
        directions: a file of `save_directions`; `direction` is a number or a name in it.
        strengths: as for `strengths_of`, in standard deviations; a film uses both ends.
        layers: as for `parse_layers`; None moves all.
        save_at: also write the latents at the last strength.
        frames, fps, width: of a film.
    """
    numbers, found = strengths_of(strengths), load_directions(directions, G)
    which, only, (ws, names) = chosen(found, direction), layers_of(G, layers), look.ws(G, *faces)
    vector = found.vectors[which] * found.scales[which]
    if out.suffix.lower() in SUFFIXES:
        film = edit_frames(G, ws, vector, (min(numbers), max(numbers)), frames, only, look.noise_mode)
        save_frames(map(side_by_side, film), out, fps, width=width)
    else:
        rows = [moved_along(one[None], vector, torch.tensor(numbers), only) for one in ws]
        look.save(out, [G], torch.cat(rows), names, _signed(numbers))
    if save_at:
        save_latents(save_at, moved_along(ws, vector, numbers[-1], only))
    along = f"{len(ws)} faces along {one_line(found.names[which])!r}"
    saved = f"; latents at {numbers[-1]:g} in {save_at}" if save_at else ""
    return f"{out}: {along}, {numbers[0]:g} to {numbers[-1]:g} standard deviations{saved}"


def save_transfer(models: Sequence[Model], faces: tuple[str, str], out: Path, look: Look = Look()) -> str:
    """The same latents in a model, the first, and in those that were trained on from it; `faces` as for `save_edit`."""
    names, nets = zip(*models)
    common = ", ".join(f"{in_common(*models[0], *child):.2f}" for child in models[1:])
    ws, columns = look.ws(nets[0], *faces)
    rows = [short_name(name) for name in names]
    look.save(out, nets, ws, rows, columns)
    return f"{out}: {len(ws)} faces in {' and '.join(rows)}; weights in common (1 is all): {common}"


def save_blend(
    models: tuple[Model, Model],
    out: Path,
    look: Look = Look(),
    *,
    from_layer: int | None = None,
    share: float | None = None,
    width: float = 0.0,
    mapping: str = "first",
    grid: Path | None = None,
    faces: str = "0-7",
) -> str:
    """A network between two relatives: from a layer on the second's layers, or all weights a share of the way.

    Args:
        from_layer, width, mapping: as for `blended`, with "first" and "second"; or else:
        share: as for `interpolated`.
        grid: also a sheet of the first's, the new one's and the second's faces.
        faces: of the sheet, as for `sources_of`.
    """
    names, (a, b) = zip(*models)
    check_another(out, *map(network_file, names))
    alike, (first, second) = in_common(*models[0], *models[1]), map(short_name, names)
    if share is None:
        child = blended(a, b, from_layer, width, {"first": "coarse", "second": "fine"}[mapping])
        how = {"from_layer": from_layer, "width": width, "mapping": mapping}
        said = f"layers below {from_layer} of {first}, the other {a.num_ws - from_layer} of {second}"
    else:
        child, how = interpolated(a, b, share), {"share": share}
        said = f"all weights {share:g} of the way from {first} to {second}"
    if grid:
        ws, columns = look.ws(a, "--seeds", faces)
        look.save(grid, [a, child, b], ws, [first, out.stem, second], columns)
    save(out, child, None, {"blended_from": [origin(name) for name in names], **how})
    return f"{out}: {said}; the two have {alike:.2f} of their weights in common{f'; {grid}' if grid else ''}"


def _signed(strengths: Sequence[float]) -> list[str]:
    return [f"{strength:+g}" if strength else "0" for strength in strengths]

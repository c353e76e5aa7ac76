"""Editing faces, the same for StyleGAN2 and StyleGAN3: `walk`, `mix`, `directions`, `edit`, `transfer`, `blend`."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facegen.cli.flags import NET, Kind, Label, Network, OnDevice, Pair, Picture, Psi, file, flags, one_of, verb
from facegen.config import TRUNC, TRUNC_OF_SHEETS
from facegen.files import InputError, one_line

if TYPE_CHECKING:
    from torch import Tensor, nn

    from facegen.latent.edit import Directions as Found

FILMS = (".mp4", ".gif", ".webp")
SHEET_STRENGTHS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
SHEET_ROWS = 12
Sources = Annotated[str, Kind("SEEDS|FILE.npz,...")]
Layers = Annotated[str, Kind("LIST")]


@flags
class Faces(OnDevice):
    """What all verbs have that make faces of w."""

    network: Network  # a network file, its address, or a name of `facegen models`
    noise_mode: Literal["const", "none"] = "const"  # StyleGAN2's noise: as stored, or none: smoother, the same for all faces
    trunc: Psi = TRUNC  # below 1: more usual faces of the seeds; latents from files stay as they are
    label: Label | None = None  # which class, for a network that has classes
    scale: int | None = None  # enlarge a sheet's faces N times (default: to 96 pixels or more)

    def ws(self, G: nn.Module, flag: str, text: str) -> tuple[Tensor, list[str]]:
        """ws [N, num_ws, w_dim] of the seeds and files that a flag names, and what each face is called."""
        from facegen.latent.walks import named_ws, sources_of

        return named_ws(G, sources_of(flag, text), self.trunc, self.label)

    def save(self, path: Path, models: list[nn.Module], ws: Tensor, rows: list, columns: list, sources: bool = False) -> None:
        """A sheet of the faces of ws in each model, with names at rows and columns; too large a one is refused beforehand."""
        import torch

        from facegen.latent.edit import faces_of
        from facegen.show.edit_widgets import check_sheet, save_sheet

        check_sheet(path, models[0].img_resolution, rows, columns, self.scale, sources)
        faces = torch.cat([faces_of(G, ws, noise_mode=self.noise_mode) for G in models])
        save_sheet(path, faces, rows, columns, self.scale, sources)


@flags
class Filmed:
    """What verbs have that make a sheet or a film."""

    fps: float = 25.0  # frames per second of a film, 1 to 50
    width: int = 256  # pixels that a film is wide at least

    def is_film(self) -> bool:
        """Whether --out is a film; refuses, before the work, one that could not be written."""
        from facegen.show.video import check_film, check_rate

        if self.out.suffix.lower() not in FILMS:
            return False
        check_film(self.out)
        check_rate(self.fps)
        if self.width < 1:
            raise InputError(f"--width {self.width}: give at least 1")
        return True


@verb("edit faces", f"walk {NET} --between 3,5,12 --loop --out walk.mp4")
class Walk(Filmed, Faces):
    """Make a film, or a strip, that goes from face to face."""

    between: Sources  # the faces in turn: seeds and .npz latents, such as 0-3,me.npz
    space: Literal["z", "w"] | None = None  # w: straight lines, the default; z: along the noise's sphere, seeds only
    frames: int | None = None  # from each face to the next (default: 60 of a film, 8 of a strip)
    loop: bool = False  # go back to the first face, so that the film closes
    easing: Literal["smooth", "linear", "sine"] = "smooth"  # smooth and sine slow down at every face
    # a film: .mp4, .gif or .webp; or .png: a strip with a row from each face to the next
    out: Annotated[Path, Kind("FILE", file(*FILMS, ".png"))] = "walk.mp4"
    turn: Annotated[float | None, Kind("DEG", float)] = None  # StyleGAN3: turn the picture on the way, counter-clockwise
    shift: Pair | None = None  # StyleGAN3: shift it right and down, in picture widths, such as 0.2,0; a loop comes back

    def run(self) -> None:
        from facegen.latent import walks
        from facegen.show.edit_widgets import save_strip
        from facegen.show.video import save_frames

        film, sources = self.is_film(), walks.sources_of("--between", self.between)
        if self.space == "z" and any(isinstance(source, Path) for source in sources):
            raise InputError("--space z: a file holds latents in w, which have no z; leave --space out")
        G, moving = self.generator(), self.turn is not None or self.shift is not None
        frames = self.frames if self.frames is not None else 60 if film else 8
        how = {"space": self.space, "loop": self.loop, "easing": self.easing, "trunc": self.trunc, "labels": self.label}
        path, names = walks.walk_path(G, sources, frames, moving=moving, **how)
        if moving:
            batches = walks.moving_frames(G, path, self.turn or 0.0, self.shift or (0.0, 0.0), self.loop)
        else:
            batches = walks.walk_frames(G, path, self.noise_mode)
        if not film:
            legs = save_strip(self.out, G.img_resolution, batches, names, frames, self.loop, self.scale)
            print(f"{self.out}: {len(path)} frames in {legs} rows")
            return
        save_frames(batches, self.out, self.fps, width=self.width)
        print(f"{self.out}: {len(path)} frames, {len(path) / self.fps:.3g} s, {self.out.stat().st_size / 1e6:.2f} MB")


@verb("edit faces", f"mix {NET} --rows 0-3 --columns 10-14 --layers coarse --out mix.png")
class Mix(Faces):
    """Make a table of faces, each with its row's face but some layers of its column's."""

    rows: Sources  # whose faces they are
    columns: Sources  # who gives the layers
    layers: Layers = "coarse"  # which: numbers such as 0-3,7, or coarse, middle, fine (thirds of all)
    out: Picture = "mix.png"  # .png, .jpg or .webp

    def run(self) -> None:
        import torch

        from facegen.latent.edit import mixing_table, parse_layers

        G = self.generator()
        (row_ws, rows), (column_ws, columns) = self.ws(G, "--rows", self.rows), self.ws(G, "--columns", self.columns)
        layers = parse_layers(self.layers, G.num_ws)
        table = mixing_table(row_ws, column_ws, layers).unflatten(0, (len(row_ws), len(column_ws)))
        first = torch.cat([column_ws[:1], column_ws])  # the corner is not shown
        everything = torch.cat([first[None], torch.cat([row_ws[:, None], table], 1)]).flatten(0, 1)
        self.save(self.out, [G], everything, ["", *rows], ["", *columns], sources=True)
        shown, left = ", ".join(map(str, layers)), G.num_ws - len(layers)
        print(f"{self.out}: {len(rows)} x {len(columns)} faces; layers {shown} are the column's, the other {left} the row's")


@verb("edit faces", f"directions {NET} --out directions.npz --sheet sheet.png")
class Directions(Faces):
    """Find directions in w along which faces change.

    They are the widest (pca), those that the styles answer to most (factor), or those of attributes that you rated (labels):
    in a CSV whose first line is seed,NAME[,NAME...], and whose other lines are a seed of `facegen generate` and 0 or 1 for
    each name, or nothing where you cannot tell. It takes 100 rated seeds or more.
    """

    method: Literal["pca", "factor", "labels"] = "pca"  # how they are found
    labels: Annotated[Path | None, Kind("FILE.csv", Path)] = None  # your ratings, for labels
    count: int = 10  # how many, of pca and factor
    samples: int = 10_000  # random w that pca looks at
    layers: Layers | None = None  # factor looks at, and the sheet moves, only them: such as 0-3,7, coarse, middle, fine
    out: Annotated[Path, Kind("FILE.npz", file(".npz"))] = "directions.npz"  # for `facegen edit`
    sheet: Picture | None = None  # also a picture: a row for each direction, from -3 to 3 standard deviations
    seed: int = 0  # the sheet's face
    trunc: Psi = TRUNC_OF_SHEETS  # below 1: more usual faces of the seeds

    def run(self) -> None:
        import torch

        from facegen.latent.edit import moved_along, parse_layers, save_directions, ws_of
        from facegen.show.text import table

        G, found = self.found()
        if self.sheet:
            layers = parse_layers(self.layers, G.num_ws) if self.layers else None
            ws, strengths = ws_of(G, [self.seed], trunc=self.trunc, labels=self.label), torch.tensor(SHEET_STRENGTHS)
            rows = found.names[:SHEET_ROWS]
            parts = [moved_along(ws, found.vectors[i], strengths * found.scales[i], layers) for i in range(len(rows))]
            self.save(self.sheet, [G], torch.cat(parts), rows, signed(SHEET_STRENGTHS))
        save_directions(self.out, found)
        means = {"pca": "share of variance", "factors": "share of styles", "labels": "accuracy on held w"}[found.kind]
        rows = [[i, name, float(found.strengths[i]), float(found.scales[i])] for i, name in enumerate(found.names)]
        print(table(rows, ["number", "name", means, "1 standard deviation"]))
        print(", ".join(str(path) for path in (self.out, self.sheet) if path))

    def found(self) -> tuple[nn.Module, Found]:
        from facegen.latent import edit, walks

        if (self.method == "labels") != (self.labels is not None):
            raise InputError("--method labels and --labels FILE.csv go together: give both or neither")
        if self.count < 1 or self.samples < 2:
            raise InputError(f"--count {self.count} --samples {self.samples}: give at least 1 and 2")
        rated = walks.read_ratings(self.labels) if self.labels else {}
        G = self.generator()
        if self.method == "pca":
            return G, edit.principal_directions(G, self.count, self.samples, labels=self.label)
        if self.method == "factor":
            layers = edit.parse_layers(self.layers, G.num_ws) if self.layers else None
            return G, edit.factor_directions(G, self.count, layers, labels=self.label)
        return G, walks.rated_directions(G, rated, self.label)


def signed(strengths: Sequence[float]) -> list[str]:
    return [f"{strength:+g}" if strength else "0" for strength in strengths]


@verb("edit faces", f"edit {NET} --seeds 0-3 --directions directions.npz --strengths=-3,..,3 --out sheet.png")
class Edit(Filmed, Faces):
    """Move faces along a direction: a sheet, or a film that goes there and back.

    `facegen directions` finds directions. Strengths are in standard deviations: -3,..,3 counts in ones, -3,-2.5,..,3 in
    halves; a film uses both ends.
    """

    latent: Sources | None = None  # latents, such as projected photos, or seeds among them
    seeds: Annotated[str | None, Kind("LIST")] = None  # or faces of seeds: 0-7 or 1,5
    directions: Annotated[Path, Kind("FILE.npz", Path)]  # from `facegen directions`
    direction: Annotated[str, Kind("N|NAME")] = "0"  # which of them
    strengths: Annotated[str, Kind("LIST")] = "-3,..,3"  # how far to go: numbers with commas
    layers: Layers | None = None  # move only them: such as 0-3,7, coarse, middle, fine (default: all)
    # a sheet: .png or .jpg; or a film: .mp4, .gif or .webp
    out: Annotated[Path, Kind("FILE", file(".png", ".jpg", ".jpeg", *FILMS))] = "edit.png"
    frames: int = 100  # of a film, there and back
    save_at: Annotated[Path | None, Kind("FILE.npz", file(".npz"), ("--save",))] = None  # the latents at the last strength

    def run(self) -> None:
        import torch

        from facegen.latent import edit, walks
        from facegen.latent.project import save_latents
        from facegen.show.grids import side_by_side
        from facegen.show.video import save_frames

        film, strengths, given = self.is_film(), walks.strengths_of(self.strengths), one_of(self, "latent", "seeds")
        if film and self.frames < 2:
            raise InputError(f"--frames {self.frames}: give at least 2")
        G = self.generator()
        found = edit.load_directions(self.directions, G)
        which = edit.chosen(found, self.direction)
        layers = edit.parse_layers(self.layers, G.num_ws) if self.layers else None
        ws, names = self.ws(G, *given)
        vector = found.vectors[which] * found.scales[which]
        if film:
            ends = min(strengths), max(strengths)
            frames = walks.edit_frames(G, ws, vector, ends, self.frames, layers, self.noise_mode)
            save_frames(map(side_by_side, frames), self.out, self.fps, width=self.width)
        else:
            rows = [edit.moved_along(one[None], vector, torch.tensor(strengths), layers) for one in ws]
            self.save(self.out, [G], torch.cat(rows), names, signed(strengths))
        if self.save_at:
            save_latents(self.save_at, edit.moved_along(ws, vector, strengths[-1], layers))
        along = f"{len(ws)} faces along {one_line(found.names[which])!r}"
        saved = f"; latents at {strengths[-1]:g} in {self.save_at}" if self.save_at else ""
        print(f"{self.out}: {along}, {strengths[0]:g} to {strengths[-1]:g} standard deviations{saved}")


@verb("edit faces", f"transfer {NET} --child runs/style/network.safetensors --seeds 0-7")
class Transfer(Faces):
    """Show the same latents in a model and in one that was trained on from it.

    You get a relative of a model by training it on with your pictures: facegen train --cfg=stylegan2 --resume MODEL --data DIR
    """

    child: list[Network]  # a network that was trained from the first (`facegen train --resume`); several if given again
    seeds: Annotated[str | None, Kind("LIST")] = None  # faces of the first's seeds: 0-7 or 1,5
    latents: Sources | None = None  # or latents in the first's w, such as projected photos
    out: Picture = "pairs.png"  # .png, .jpg or .webp

    def run(self) -> None:
        from facegen.models.published import short_name

        given, parent = one_of(self, "seeds", "latents"), self.generator()
        models, alike = [parent], []
        for name in self.child:
            models.append(self.generator(name))
            alike.append(in_common(self.network, parent, name, models[-1]))
        ws, columns = self.ws(parent, *given)
        rows = [short_name(name) for name in (self.network, *self.child)]
        self.save(self.out, models, ws, rows, columns)
        common = ", ".join(f"{share:.2f}" for share in alike)
        print(f"{self.out}: {len(ws)} faces in {' and '.join(rows)}; weights in common (1 is all): {common}")


def in_common(first: str, a: nn.Module, second: str, b: nn.Module) -> float:
    """How much of their weights two models have in common; says so if they were trained apart."""
    from facegen.latent.walks import relatives

    alike, warning = relatives(first, a, second, b)
    if warning:
        print(f"facegen: {warning}", file=sys.stderr)
    return alike


@verb("edit faces", f"blend {NET} --with runs/style/network.safetensors --from-layer 5 --out blended.safetensors")
class Blend(Faces):
    """Cross two relatives: coarse layers of one, fine ones of the other; or a blend.

    You get a relative of a model by training it on with your pictures: facegen train --cfg=stylegan2 --resume MODEL --data DIR
    """

    other: Annotated[str, Kind("FILE|URL|NAME", str, ("--with",))]  # the second model, a relative of the same size
    from_layer: int | None = None  # layer swapping: from this layer on the second's: 0 is all of the second
    share: float | None = None  # or weight blending: every weight so far on the way from the first (0) to the second (1)
    width: float = 0.0  # with --from-layer: layers over which the weights change; 0 is a cut
    mapping: Literal["first", "second"] = "first"  # with --from-layer: whose mapping network
    out: Annotated[Path, Kind("FILE.safetensors", file(".safetensors"))]  # the new network
    grid: Picture | None = None  # also a picture: the first, the new, and the second's faces
    seeds: Sources = "0-7"  # the picture's faces: seeds, or .npz latents

    def run(self) -> None:
        from facegen.latent.edit import blended, interpolated
        from facegen.models.pretrained import save
        from facegen.models.published import network_file, origin, short_name

        swapping = one_of(self, "from_layer", "share")[0] == "--from-layer"
        if not (math.isfinite(self.width) and self.width >= 0):
            raise InputError(f"--width {self.width}: give 0 for a cut, or the layers over which the weights change")
        if not swapping and (self.width or self.mapping != "first"):
            raise InputError("--width and --mapping belong to --from-layer: with --share leave them out")
        names = (self.network, self.other)
        for name in names:
            if self.out.exists() and self.out.samefile(network_file(name)):
                raise InputError(f"--out {self.out}: this is {name} itself; give the new one another name")
        (first, second), (a, b) = map(short_name, names), map(self.generator, names)
        alike = in_common(names[0], a, names[1], b)
        if swapping:
            child = blended(a, b, self.from_layer, self.width, {"first": "coarse", "second": "fine"}[self.mapping])
            how = {"from_layer": self.from_layer, "width": self.width, "mapping": self.mapping}
            said = f"layers below {self.from_layer} of {first}, the other {a.num_ws - self.from_layer} of {second}"
        else:
            child, how = interpolated(a, b, self.share), {"share": self.share}
            said = f"all weights {self.share:g} of the way from {first} to {second}"
        if self.grid:
            ws, columns = self.ws(a, "--seeds", self.seeds)
            self.save(self.grid, [a, child, b], ws, [first, self.out.stem, second], columns)
        save(self.out, child, None, {"blended_from": [origin(name) for name in names], **how})
        print(f"{self.out}: {said}; the two have {alike:.2f} of their weights in common{f'; {self.grid}' if self.grid else ''}")

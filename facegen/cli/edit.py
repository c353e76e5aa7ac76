"""Editing faces, the same for StyleGAN2 and StyleGAN3: `walk`, `mix`, `directions`, `edit`, `transfer`, `blend`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from facegen.cli.flags import FILMS, Kind, Label, Network, OnDevice, Pair, Picture, Psi, Scale, file, flags, one_of, verb
from facegen.config import TRUNC, TRUNC_OF_SHEETS, Count, Several, Weight
from facegen.files import InputError

if TYPE_CHECKING:
    from facegen.show.edited import Look

Sources = Annotated[str, Kind("SEEDS|FILE.npz,...")]
Layers = Annotated[str, Kind("LIST")]


@flags
class Faces(OnDevice):
    """What all verbs have that make faces of w."""

    network: Network  # a network file, its address, or a name of `facegen models`
    noise_mode: Literal["const", "none"] = "const"  # StyleGAN2's noise: as stored, or none: smoother, the same for all faces
    trunc: Psi = TRUNC  # below 1: more usual faces of the seeds; latents from files stay as they are
    label: Label | None = None  # which class, for a network that has classes
    scale: Scale | None = None  # enlarge a sheet's faces N times (default: to 96 pixels or more)

    def look(self) -> Look:
        """How the faces are made."""
        from facegen.show.edited import Look

        return Look(self.trunc, self.label, self.noise_mode, self.scale)


@flags
class Filmed:
    """What verbs have that make a sheet or a film."""

    fps: float = 25.0  # frames per second of a film, 1 to 50
    width: Count = 256  # pixels that a film is wide at least


@verb("edit faces", "walk NET --between 3,5,12 --loop --out walk.mp4")
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
        from facegen.show.edited import save_walk

        path = {"frames": self.frames, "space": self.space, "loop": self.loop, "easing": self.easing}
        film = {"turn": self.turn, "shift": self.shift, "fps": self.fps, "width": self.width}
        print(save_walk(self.generator(), self.between, self.out, self.look(), **path, **film))


@verb("edit faces", "mix NET --rows 0-3 --columns 10-14 --layers coarse --out mix.png")
class Mix(Faces):
    """Make a table of faces, each with its row's face but some layers of its column's."""

    rows: Sources  # whose faces they are
    columns: Sources  # who gives the layers
    layers: Layers = "coarse"  # which: numbers such as 0-3,7, or coarse, middle, fine (thirds of all)
    out: Picture = "mix.png"  # .png, .jpg or .webp

    def run(self) -> None:
        from facegen.show.edited import save_mix

        print(save_mix(self.generator(), self.rows, self.columns, self.layers, self.out, self.look()))


@verb("edit faces", "directions NET --out directions.npz --sheet sheet.png")
class Directions(Faces):
    """Find directions in w along which faces change.

    They are the widest (pca), those that the styles answer to most (factor), or those of attributes that you rated (labels):
    in a CSV whose first line is seed,NAME[,NAME...], and whose other lines are a seed of `facegen generate` and 0 or 1 for
    each name, or nothing where you cannot tell. It takes 100 rated seeds or more.
    """

    method: Literal["pca", "factor", "labels"] = "pca"  # how they are found
    labels: Annotated[Path | None, Kind("FILE.csv", Path)] = None  # your ratings, for labels
    count: Count = 10  # how many, of pca and factor
    samples: Several = 10_000  # random w that pca looks at
    layers: Layers | None = None  # factor looks at, and the sheet moves, only them: such as 0-3,7, coarse, middle, fine
    out: Annotated[Path, Kind("FILE.npz", file(".npz"))] = "directions.npz"  # for `facegen edit`
    sheet: Picture | None = None  # also a picture: a row for each direction, from -3 to 3 standard deviations
    seed: int = 0  # the sheet's face
    trunc: Psi = TRUNC_OF_SHEETS  # below 1: more usual faces of the seeds

    def run(self) -> None:
        from facegen.latent.edit import save_directions
        from facegen.latent.walks import find_directions
        from facegen.show.edited import directions_text, save_directions_sheet

        if (self.method == "labels") != (self.labels is not None):
            raise InputError("--method labels and --labels FILE.csv go together: give both or neither")
        G, how = self.generator(), {"count": self.count, "samples": self.samples, "layers": self.layers}
        found = find_directions(G, self.method, ratings=self.labels, labels=self.label, **how)
        if self.sheet:
            save_directions_sheet(G, found, self.seed, self.sheet, self.layers, self.look())
        save_directions(self.out, found)
        print(directions_text(found))
        print(", ".join(str(path) for path in (self.out, self.sheet) if path))


@verb("edit faces", "edit NET --seeds 0-3 --directions directions.npz --strengths=-3,..,3 --out sheet.png")
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
    frames: Several = 100  # of a film, there and back
    save_at: Annotated[Path | None, Kind("FILE.npz", file(".npz"), ("--save",))] = None  # the latents at the last strength

    def run(self) -> None:
        from facegen.show.edited import save_edit

        faces, along = one_of(self, "latent", "seeds"), (self.directions, self.direction, self.strengths)
        film = {"frames": self.frames, "fps": self.fps, "width": self.width}
        how = {"layers": self.layers, "save_at": self.save_at}
        print(save_edit(self.generator(), faces, *along, self.out, self.look(), **how, **film))


@verb("edit faces", "transfer NET --child runs/style/network.safetensors --seeds 0-7")
class Transfer(Faces):
    """Show the same latents in a model and in one that was trained on from it.

    You get a relative of a model by training it on with your pictures: facegen train --cfg=stylegan2 --resume MODEL --data DIR
    """

    child: list[Network]  # a network that was trained from the first (`facegen train --resume`); several if given again
    seeds: Annotated[str | None, Kind("LIST")] = None  # faces of the first's seeds: 0-7 or 1,5
    latents: Sources | None = None  # or latents in the first's w, such as projected photos
    out: Picture = "pairs.png"  # .png, .jpg or .webp

    def run(self) -> None:
        from facegen.show.edited import save_transfer

        faces = one_of(self, "seeds", "latents")
        models = [(name, self.generator(name)) for name in (self.network, *self.child)]
        print(save_transfer(models, faces, self.out, self.look()))


@verb("edit faces", "blend NET --with runs/style/network.safetensors --from-layer 5 --out blended.safetensors")
class Blend(Faces):
    """Cross two relatives: coarse layers of one, fine ones of the other; or a blend.

    You get a relative of a model by training it on with your pictures: facegen train --cfg=stylegan2 --resume MODEL --data DIR
    """

    other: Annotated[str, Kind("FILE|URL|NAME", str, ("--with",))]  # the second model, a relative of the same size
    from_layer: int | None = None  # layer swapping: from this layer on the second's: 0 is all of the second
    share: float | None = None  # or weight blending: every weight so far on the way from the first (0) to the second (1)
    width: Weight = 0.0  # with --from-layer: layers over which the weights change; 0 is a cut
    mapping: Literal["first", "second"] = "first"  # with --from-layer: whose mapping network
    out: Annotated[Path, Kind("FILE.safetensors", file(".safetensors"))]  # the new network
    grid: Picture | None = None  # also a picture: the first, the new, and the second's faces
    seeds: Sources = "0-7"  # the picture's faces: seeds, or .npz latents

    def run(self) -> None:
        from facegen.show.edited import save_blend

        one_of(self, "from_layer", "share")
        if self.share is not None and (self.width or self.mapping != "first"):
            raise InputError("--width and --mapping belong to --from-layer: with --share leave them out")
        models = [(name, self.generator(name)) for name in (self.network, self.other)]
        how = {"from_layer": self.from_layer, "share": self.share, "width": self.width, "mapping": self.mapping}
        print(save_blend(models, self.out, self.look(), **how, grid=self.grid, faces=self.seeds))

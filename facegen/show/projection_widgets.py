"""A photograph of one's own, projected without leaving the notebook: an upload button, a line that says how it goes, a picture.

yours = project_upload(G, perceptual=see)      # shown; choose a file
yours.result, yours.scores                     # afterwards: what was found, and what it is worth
yours.project(data, "me.jpg")                  # the same without a browser
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable

import ipywidgets
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from facegen.data.faces import framed, square
from facegen.data.photos import PhotoCheck, check_photo
from facegen.data.pictures import Unusable, decode
from facegen.files import InputError, one_line
from facegen.latent.edit import check_styles
from facegen.latent.project import SPACES, Perceptual, Projection, Search, project
from facegen.latent.scores import Scores, far_from_model, score
from facegen.show.grids import png_of, with_png

SIDE = 256  # screen pixels of a face
LINE = 24  # pixels of a caption
PANEL = (3 * SIDE + 2 * 8, SIDE + LINE)  # pixels of the whole picture
EVERY = 0.05  # share of the search after which the line is written again
LARGEST = 50_000_000  # bytes of a file


class ProjectionUpload(ipywidgets.VBox):
    """What `project_upload` returns.

    A photograph goes through the same steps as in `facegen project --align`: decoded, checked, cut out, searched for,
    scored. Nothing is written, and nothing is kept but the last photograph's results. Whatever goes wrong is said in `line`.

    Attributes:
        upload: the FileUpload.
        space: a dropdown: in which space to search.
        line: an HTML widget, one line: what is being done, what came out, or why nothing did.
        notes: an HTML widget, one line for each warning about the photograph.
        picture: an Image widget; among `children` once there is something to see.
        check: what was found in the last photograph, or None.
        target: uint8 [3, H, W] of its face as cut out, or None.
        result: the `Projection`, or None.
        scores: its `Scores`, or None.
    """

    def __init__(
        self,
        G: nn.Module,
        perceptual: Perceptual,
        search: Search,
        embed: Callable[[Tensor], Tensor] | None,
        mask: Tensor | None,
        count: int | None,
    ) -> None:
        self._G, self._perceptual, self._search = G, perceptual, search
        self._embed, self._mask, self._count = embed, mask, count
        self.upload = ipywidgets.FileUpload(
            accept="image/*", multiple=False, description="Upload a photo", layout={"width": "180px"}
        )
        self.space = ipywidgets.Dropdown(
            options=SPACES,
            value=search.space,
            description="space",
            style={"description_width": "50px"},
            layout={"width": "150px"},
        )
        self.line = ipywidgets.HTML()
        self.notes = ipywidgets.HTML()
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "100%", "height": "auto", "object_fit": "contain"})
        self.upload.observe(self._chosen, names="value")
        self._controls = [ipywidgets.HBox([self.upload, self.space]), self.line, self.notes]
        super().__init__(self._controls)
        self._forget()
        self._say("choose a photo: one face, upright, sharp, nothing in front of it")

    def project(self, data: bytes, name: str = "photo") -> Projection | None:
        """Everything that happens to a file, given as its bytes; None, and a reason in `line`, where it comes to nothing."""
        self._forget()
        try:
            return self._projected(data, name)
        except (InputError, Unusable) as error:
            self._say(f"{one_line(name)}: {error}")
        except Exception as error:  # in a widget's handler it would vanish into a log that nobody sees
            self._say(f"{one_line(name)}: failed with {type(error).__name__}: {one_line(error)}")
        return None

    def _projected(self, data: bytes, name: str) -> Projection | None:
        if len(data) > LARGEST:
            raise Unusable(f"{len(data) // 1_000_000} MB are too many: give a smaller file")
        file, size = one_line(name), self._G.img_resolution
        self._say(f"{file}: looking for a face")
        photo = decode(data)[0]
        self.check = check_photo(photo, size, name=name)
        # The advice about a face that is framed already is for folders: here it is framed again, which does no harm.
        warned = [warning for warning in self.check.warnings if warning.name != "already-aligned"]
        if self.check.landmarks is None:
            self._say(f"{file}: {'; '.join(map(str, warned))}")
            return None
        self._warn([str(warning) for warning in warned])
        cut, _ = framed(photo, self.check.landmarks, size)
        self.target = torch.from_numpy(np.array(cut)).permute(2, 0, 1).contiguous()
        self._show(photo)
        self._say(f"{file}: comparing with the model's own faces")
        if far := far_from_model(self._G, self.target, self._perceptual, count=self._count).warning:
            self._warn([str(warning) for warning in warned] + [f"far: {far}"])
        search = dataclasses.replace(self._search, space=self.space.value)
        see = _Counted(self._perceptual, search, lambda share: self._say(f"{file}: searching in {search.space}, {share:.0%}"))
        result = project(self._G, self.target, perceptual=see, search=search, mask=self._mask, progress=False)
        self.scores = score(
            result, perceptual=self._perceptual, space=search.space, embed=self._embed, mask=self._mask, before=self._G
        )
        self.result = result
        self._show(photo)
        self._say(f"{file}: {self.scores}")
        return result

    def _chosen(self, change: dict) -> None:
        if not change["new"]:  # the button was emptied, by us
            return
        file = change["new"][0]
        self.upload.disabled = True
        try:
            self.project(bytes(file["content"]), file["name"])
        finally:
            self.upload.value = ()  # so that the same file can be chosen again, and is not kept
            self.upload.disabled = False

    def _forget(self) -> None:
        self.check: PhotoCheck | None = None
        self.target: Tensor | None = None
        self.result: Projection | None = None
        self.scores: Scores | None = None
        self.notes.value = ""
        self.picture.value = b""
        self.children = self._controls

    def _say(self, text: str) -> None:
        self.line.value = html.escape(" ".join(text.split()))

    def _warn(self, lines: list[str]) -> None:
        self.notes.value = "<br>".join(html.escape(line) for line in lines)

    def _show(self, photo: Image.Image) -> None:
        self.picture.value = png_of(self._panel(_with_square(photo, self.check.landmarks)))
        self.children = [*self._controls, self.picture]

    def _panel(self, photo: Image.Image | None) -> Image.Image:
        """The photograph, the face as cut out, and what was found, beside each other; a grey head where there is none yet."""
        tiles = [photo, *(_tile(one) for one in (self.target, self.result and self.result.image))]
        panel = Image.new("RGB", PANEL, "white")
        draw = ImageDraw.Draw(panel)
        for i, (tile, caption) in enumerate(zip(tiles, ("your photo", "cut out", "found"))):
            x = i * (SIDE + 8)
            draw.text((x + SIDE // 2, LINE // 2), caption, fill="#222222", anchor="mm", font=ImageFont.load_default(14))
            tile = tile or _nobody()
            panel.paste(tile, (x + (SIDE - tile.width) // 2, LINE + (SIDE - tile.height) // 2))
        return panel

    def _repr_mimebundle_(self, **options: object) -> tuple[dict[str, object], dict[str, object]]:
        png, text = self.picture.value or png_of(self._panel(None)), html.unescape(self.line.value)
        return with_png(super()._repr_mimebundle_(**options), png, PANEL, text, text)


class _Counted:
    """A perceptual network that tells how far the search is: each step asks it once, and the target is asked for before."""

    def __init__(self, perceptual: Perceptual, search: Search, tell: Callable[[float], None]) -> None:
        self._perceptual, self._tell = perceptual, tell
        self._total = search.steps + (search.tune_steps if search.space == "pti" else 0)
        self._step, self._said = -1, 0.0

    def __call__(self, pictures: Tensor) -> Tensor:
        self._step += 1
        share = self._step / self._total
        if self._step == 0 or share >= self._said + EVERY:
            self._said = share
            self._tell(share)
        return self._perceptual(pictures)


def project_upload(
    G: nn.Module,
    *,
    perceptual: Perceptual,
    search: Search | None = None,
    embed: Callable[[Tensor], Tensor] | None = None,
    mask: Tensor | None = None,
    count: int | None = None,
) -> ProjectionUpload:
    """An upload button for a photograph; its face is found, cut out, searched for and scored, and shown.

    Args:
        G: a StyleGAN2 or StyleGAN3 for colour pictures, on the device where to search.
        perceptual: pictures in [-1, 1] -> rows, as for `facegen.latent.project.project`.
        search: how; its space is where the dropdown begins.
        embed: of faces, for the score of identity; None leaves it out.
        mask: weights [1, H, W]: where the picture matters; None: everywhere.
        count: of the model's own faces that the photograph is compared with, as for `facegen.latent.scores.far_from_model`.

    Raises:
        InputError: a generator without w, or one for pictures without colour.
    """
    check_styles(G)
    if G.img_channels != 3:
        raise InputError(f"its pictures have {G.img_channels} channels: only colour can be projected")
    return ProjectionUpload(G, perceptual, search or Search(), embed, mask, count)


def _with_square(photo: Image.Image, landmarks: np.ndarray) -> Image.Image:
    """The photograph at most `SIDE` pixels long, with what is cut out of it."""
    scale = SIDE / max(photo.size)
    picture = photo.resize(tuple(max(1, round(side * scale)) for side in photo.size), Image.Resampling.LANCZOS)
    corner, across = (scale * place for place in square(landmarks))
    down = np.array([-across[1], across[0]])
    ring = [tuple(place) for place in (corner, corner + across, corner + across + down, corner + down, corner)]
    ImageDraw.Draw(picture).line(ring, fill="#FFC800", width=3)
    return picture


def _nobody() -> Image.Image:
    """A head and shoulders in grey, where there is no picture yet."""
    tile = Image.new("RGB", (SIDE, SIDE), "#E6E6E6")
    draw = ImageDraw.Draw(tile)
    draw.ellipse((0.14 * SIDE, 0.84 * SIDE, 0.86 * SIDE, 1.6 * SIDE), fill="#D2D2D2")
    draw.ellipse((0.26 * SIDE, 0.14 * SIDE, 0.74 * SIDE, 0.88 * SIDE), fill="#D2D2D2", outline="#E6E6E6", width=5)
    return tile


def _tile(pixels: Tensor | None) -> Image.Image | None:
    if pixels is None:
        return None
    picture = Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
    return picture.resize((SIDE, SIDE), Image.Resampling.NEAREST if picture.width < SIDE else Image.Resampling.LANCZOS)

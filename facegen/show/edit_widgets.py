"""Edits to look at: sheets of faces with captions, and sliders over directions, style mixing and walks.

explore_directions(G, principal_directions(G, 4), ws)     # a slider for each direction
explore_mixing(G, ws_of(G, [1]), ws_of(G, [2]))           # a slider for the layers that come from the second face
explore_walk(G, ws_of(G, [1, 2, 3]))                      # a slider and a play button along the way
"""

from __future__ import annotations

import html
from collections import OrderedDict
from collections.abc import Hashable, Sequence

import ipywidgets
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from facegen.files import InputError
from facegen.latent.edit import Directions, check_styles, faces_of, mixed, moved_along, walk
from facegen.show.grids import as_uint8, grid, png_of, with_png

TILE = 96  # screen pixels that a face of a sheet has at least
GAP = 2  # pixels between the faces of a sheet
APART = 10  # pixels between sources and results
LINE = 20  # pixels of a line of text
LETTERS = 24  # of a row's name, at most
KEPT = 512  # pictures that an explorer remembers
SHOWN = 256  # screen pixels of an explorer's face, about
LIVE = 128  # pixels of a face up to which pictures follow a slider while it moves


# ----------------------------------------------------------------------------------------------------------- sheets


def sheet_size(
    size: int, rows: Sequence[str], columns: Sequence[str], scale: int | None = None, sources: bool = False
) -> tuple[int, int]:
    """Width and height in pixels of `sheet` with the same arguments, for faces of `size` pixels."""
    side, frame = size * (scale or _tile_scale(size)) + GAP, GAP + sources * APART
    return _margin(rows) + len(columns) * side + frame, bool(any(columns)) * LINE + len(rows) * side + frame


def sheet(
    faces: Tensor, rows: Sequence[str], columns: Sequence[str], *, scale: int | None = None, sources: bool = False
) -> Image.Image:
    """A table of faces with the names of its rows and columns.

    Args:
        faces: uint8 or floating [len(rows) * len(columns), 3, H, W], row by row.
        rows, columns: their names; "" for none.
        scale: picture pixels of one pixel of a face; by default faces have at least 96.
        sources: the first row and the first column are what the others were made of, and stand apart; their corner is empty.

    Raises:
        InputError: another number of faces.
    """
    tiles = as_uint8(faces)
    if len(tiles) != len(rows) * len(columns):
        raise InputError(f"a sheet of {len(rows)} rows and {len(columns)} columns of {len(tiles)} faces")
    scale = scale or _tile_scale(tiles.shape[-1])
    tiles = tiles.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    side, left, top = tiles.shape[-1], _margin(rows), bool(any(columns)) * LINE
    canvas = Image.new("RGB", sheet_size(faces.shape[-1], rows, columns, scale, sources), "white")
    draw = ImageDraw.Draw(canvas)
    for r, row in enumerate(rows):
        y = top + GAP + r * (side + GAP) + (APART if sources and r else 0)
        draw.text((left - 6, y + side // 2), _short(row), fill="#222222", anchor="rm", font=_font())
        for c, column in enumerate(columns):
            x = left + GAP + c * (side + GAP) + (APART if sources and c else 0)
            if not r:
                draw.text((x + side // 2, LINE // 2 + 1), _fitting(column, side), fill="#222222", anchor="mm", font=_font())
            if not (sources and r == c == 0):
                canvas.paste(Image.fromarray(tiles[r * len(columns) + c].permute(1, 2, 0).contiguous().numpy()), (x, y))
    return canvas


def _tile_scale(size: int) -> int:
    return max(1, -(-TILE // size))


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(13)


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else text[: LETTERS - 3] + "..."


def _margin(rows: Sequence[str]) -> int:
    """Pixels that the rows' names need."""
    widest = max((_font().getlength(_short(row)) for row in rows), default=0)
    return round(widest) + 12 if widest else 0


def _fitting(text: str, width: int) -> str:
    """As much of a column's name as its column is wide."""
    while text and _font().getlength(text) > width:
        text = text[:-1]
    return text


# -------------------------------------------------------------------------------------------------------- explorers


class _Explorer(ipywidgets.VBox):
    """A picture that follows controls. Every picture is made once and then remembered, the last `KEPT` of them.

    Where no widget can run (a page on the web, a printed notebook) the output still holds a sheet as PNG.

    Attributes:
        picture: an Image widget; `.value` holds the PNG.
        label: an HTML widget with what is shown.
    """

    def __init__(self, G: nn.Module, controls: Sequence[ipywidgets.Widget], watched: Sequence[ipywidgets.Widget]) -> None:
        self._G = G
        self._scale = max(1, round(SHOWN / G.img_resolution))
        self._pngs: OrderedDict[Hashable, bytes] = OrderedDict()
        self.picture = ipywidgets.Image(format="png", layout={"max_width": "100%", "height": "auto", "object_fit": "contain"})
        self.label = ipywidgets.HTML()
        for control in watched:
            control.observe(self._show, names="value")
        super().__init__([self.picture, self.label, *controls])
        self._show()

    def _key(self) -> Hashable:
        """What the picture depends on."""
        raise NotImplementedError

    def _draw(self) -> Image.Image:
        """The picture of the controls' present values."""
        raise NotImplementedError

    def _text(self) -> str:
        raise NotImplementedError

    def _twin(self) -> Image.Image:
        """The sheet that stands for the widget where none can run."""
        raise NotImplementedError

    def _show(self, _change: object = None) -> None:
        key = self._key()
        if key not in self._pngs:
            self._pngs[key] = png_of(self._draw())
            if len(self._pngs) > KEPT:
                self._pngs.popitem(last=False)
        self._pngs.move_to_end(key)
        self.picture.value = self._pngs[key]
        self.label.value = html.escape(self._text())

    def _faces(self, ws: Tensor) -> Tensor:
        return faces_of(self._G, ws, progress=False)

    def _repr_mimebundle_(self, **options: object) -> tuple[dict[str, object], dict[str, object]]:
        twin, text = self._twin(), self._text()
        return with_png(super()._repr_mimebundle_(**options), png_of(twin), twin.size, text, text)


def _layer_slider(G: nn.Module, text: str, value: tuple[int, int]) -> ipywidgets.IntRangeSlider:
    return ipywidgets.IntRangeSlider(
        value=value, min=0, max=G.num_ws - 1, description=text, continuous_update=_live(G), **_wide()
    )


def _live(G: nn.Module) -> bool:
    return G.img_resolution <= LIVE


def _wide() -> dict[str, dict[str, str]]:
    return {"layout": {"width": "95%", "max_width": "560px"}, "style": {"description_width": "90px"}}


def _checked(G: nn.Module, ws: Tensor, name: str) -> Tensor:
    check_styles(G)
    if ws.ndim != 3 or not len(ws) or tuple(ws.shape[1:]) != (G.num_ws, G.w_dim):
        raise InputError(f"{name} is {list(ws.shape)}, the model's ws are [N, {G.num_ws}, {G.w_dim}]")
    return ws.detach().float().cpu()


class DirectionExplorer(_Explorer):
    """What `explore_directions` returns.

    Attributes:
        sliders: one for each direction; `.value` is the strength in standard deviations of w along it.
        layers: a range slider: the first and the last layer that are moved.
        reset: a button that sets all strengths to 0.
    """

    def __init__(self, G: nn.Module, directions: Directions, ws: Tensor, span: float) -> None:
        self._directions, self._ws, self._span = directions, ws, span
        self.sliders = [
            ipywidgets.FloatSlider(
                0.0, min=-span, max=span, step=span / 12, description=name, continuous_update=_live(G), **_wide()
            )
            for name in directions.names
        ]
        self.layers = _layer_slider(G, "layers", (0, G.num_ws - 1))
        self.reset = ipywidgets.Button(description="as it was", tooltip="set all strengths to 0")
        self.reset.on_click(self._reset)
        super().__init__(G, [*self.sliders, self.layers, self.reset], [*self.sliders, self.layers])

    @property
    def ws(self) -> Tensor:
        """The latents of the picture shown, [N, num_ws, w_dim], to keep with `save_latents`."""
        return self._moved([slider.value for slider in self.sliders], self.layers.value)

    def _moved(self, strengths: Sequence[float], layers: tuple[int, int]) -> Tensor:
        steps = torch.tensor(strengths) * self._directions.scales
        return moved_along(self._ws, steps @ self._directions.vectors, 1.0, range(layers[0], layers[1] + 1))

    def _reset(self, _button: object) -> None:
        for slider in self.sliders:
            slider.value = 0.0

    def _key(self) -> Hashable:
        strengths = tuple(round(slider.value, 6) for slider in self.sliders)
        return strengths, self.layers.value if any(strengths) else None

    def _draw(self) -> Image.Image:
        return grid(self._faces(self.ws), scale=self._scale, cols=min(4, len(self._ws)))

    def _text(self) -> str:
        moves = [f"{slider.description} {slider.value:+.2f}" for slider in self.sliders if slider.value]
        first, last = self.layers.value
        return f"{', '.join(moves)} in layers {first} to {last}" if moves else "as it was"

    def _twin(self) -> Image.Image:
        strengths = [-self._span, -self._span / 2, 0.0, self._span / 2, self._span]
        everywhere = (0, self._G.num_ws - 1)
        count = len(self.sliders)
        rows = [self._moved([s * (i == k) for i in range(count)], everywhere)[:1] for k in range(count) for s in strengths]
        return sheet(self._faces(torch.cat(rows)), self._directions.names, [f"{s:+.2g}" if s else "0" for s in strengths])


def explore_directions(
    G: nn.Module, directions: Directions, ws: Tensor, *, count: int = 4, span: float = 3.0
) -> DirectionExplorer:
    """Sliders that move faces along directions in w.

    Args:
        G: a StyleGAN2 or StyleGAN3.
        directions: as `facegen.latent.edit` finds them for G.
        ws: the faces, [N, num_ws, w_dim].
        count: only so many of the directions, the first ones.
        span: the sliders' ends, in standard deviations of w along a direction.

    Raises:
        InputError: directions or ws of another model, or no span.
    """
    ws = _checked(G, ws, "ws")
    if directions.vectors.shape[1] != G.w_dim:
        raise InputError(f"directions of length {directions.vectors.shape[1]}, the model's w has {G.w_dim}: they are another's")
    if count < 1 or not span > 0:
        raise InputError(f"count={count}, span={span}: give one direction or more, and a span above 0")
    first = Directions(
        directions.vectors[:count].cpu(),
        directions.scales[:count].cpu(),
        directions.strengths[:count].cpu(),
        directions.kind,
        directions.names[:count],
    )
    return DirectionExplorer(G, first, ws, span)


class MixingExplorer(_Explorer):
    """What `explore_mixing` returns: the first faces, the mixed ones and the second ones, side by side.

    Attributes:
        layers: a range slider: the first and the last layer that the second face gives.
        everything_else: a checkbox: the second face gives all other layers instead.
    """

    def __init__(self, G: nn.Module, ws_a: Tensor, ws_b: Tensor) -> None:
        self._a, self._b = ws_a, ws_b
        self._sources = faces_of(G, torch.cat([ws_a, ws_b]), progress=False).chunk(2)
        self.layers = _layer_slider(G, "layers of B", (G.num_ws // 2, G.num_ws - 1))
        self.everything_else = ipywidgets.Checkbox(False, description="all but these", indent=False)
        super().__init__(G, [self.layers, self.everything_else], [self.layers, self.everything_else])

    @property
    def ws(self) -> Tensor:
        """The latents of the mixed faces, [N, num_ws, w_dim]."""
        return mixed(self._a, self._b, self._chosen())

    def _chosen(self) -> list[int]:
        first, last = self.layers.value
        inside = range(first, last + 1)
        return [layer for layer in range(self._G.num_ws) if (layer in inside) != self.everything_else.value]

    def _key(self) -> Hashable:
        return tuple(self._chosen())

    def _draw(self) -> Image.Image:
        a, b = self._sources
        rows = torch.stack([a, self._faces(self.ws), b], 1).flatten(0, 1)
        return sheet(rows, [""] * len(a), ["A", "mixed", "B"], scale=self._scale)

    def _text(self) -> str:
        return f"layers of B: {', '.join(map(str, self._chosen())) or 'none'}; all others are A's"

    def _twin(self) -> Image.Image:
        cuts = sorted({0, *(round(self._G.num_ws * share) for share in (0.25, 0.5, 0.75)), self._G.num_ws})
        ws = torch.cat([mixed(self._a[:1], self._b[:1], range(cut, self._G.num_ws)) for cut in cuts])
        return sheet(self._faces(ws), [""], [f"B from {cut}" for cut in cuts])


def explore_mixing(G: nn.Module, ws_a: Tensor, ws_b: Tensor) -> MixingExplorer:
    """A slider for which layers of a face come from another.

    Args:
        G: a StyleGAN2 or StyleGAN3.
        ws_a, ws_b: as many faces on both sides, [N, num_ws, w_dim]; a single one serves all of the other side.

    Raises:
        InputError: ws of another model, or unequal numbers.
    """
    a, b = _checked(G, ws_a, "ws_a"), _checked(G, ws_b, "ws_b")
    if len(a) != len(b) and 1 not in (len(a), len(b)):
        raise InputError(f"{len(a)} and {len(b)} faces cannot be mixed in pairs: give as many on both sides, or one")
    count = max(len(a), len(b))
    return MixingExplorer(G, a.expand(count, -1, -1), b.expand(count, -1, -1))


class WalkExplorer(_Explorer):
    """What `explore_walk` returns.

    Attributes:
        slider: `.value` is the frame shown, from 0.
        play: a play button.
    """

    def __init__(self, G: nn.Module, points: Tensor, frames: int, loop: bool, easing: str) -> None:
        self._points, self._frames = points, frames
        self._path = walk(points, frames, loop=loop, easing=easing)
        last = len(self._path) - 1
        self.slider = ipywidgets.IntSlider(0, min=0, max=last, readout=False, layout={"flex": "1 1 auto", "min_width": "120px"})
        self.play = ipywidgets.Play(min=0, max=last, interval=80, repeat=loop)
        ipywidgets.jslink((self.play, "value"), (self.slider, "value"))
        controls = ipywidgets.HBox([self.play, self.slider], layout={"width": "95%", "max_width": "560px"})
        super().__init__(G, [controls], [self.slider])

    @property
    def ws(self) -> Tensor:
        """The latents of the frame shown, [1, num_ws, w_dim]."""
        return self._path[self.slider.value][None]

    def _key(self) -> Hashable:
        return self.slider.value

    def _draw(self) -> Image.Image:
        return grid(self._faces(self.ws), scale=self._scale, padding=0)

    def _text(self) -> str:
        leg, step = divmod(self.slider.value, self._frames)
        follower = (leg + 1) % len(self._points)
        return f"{step / self._frames:.0%} of the way from face {leg} to face {follower}" if step else f"face {leg}"

    def _twin(self) -> Image.Image:
        shown = [round(i * (len(self._path) - 1) / 7) for i in range(8)]
        return sheet(self._faces(self._path[shown]), [""], [str(i) for i in shown])


def explore_walk(G: nn.Module, points: Tensor, frames: int = 16, *, loop: bool = True, easing: str = "smooth") -> WalkExplorer:
    """A slider and a play button along a walk through faces. A frame is made when it is first shown.

    Args:
        G: a StyleGAN2 or StyleGAN3.
        points: ws [K, num_ws, w_dim], K >= 2.
        frames: from each face to the next.
        loop, easing: as for `facegen.latent.edit.walk`.

    Raises:
        InputError: ws of another model, or what `walk` refuses.
    """
    return WalkExplorer(G, _checked(G, points, "points"), frames, loop, easing)

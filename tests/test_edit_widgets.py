"""Sheets of faces, and the sliders: setting a value changes the picture to what the functions behind it make."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from test_edit_verbs import KINDS, small
from torch import Tensor, nn

from facegen.files import InputError
from facegen.latent import edit
from facegen.models import dcgan
from facegen.show import edit_widgets
from facegen.show.edit_widgets import explore_directions, explore_mixing, explore_walk, sheet, sheet_size
from facegen.show.grids import grid


@pytest.fixture(scope="module", params=KINDS)
def G(request) -> nn.Module:
    return small(request.param)


def shown(explorer) -> np.ndarray:
    return decoded(explorer.picture.value)


def decoded(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def alike(a: np.ndarray, picture: Image.Image) -> bool:
    b = np.array(picture).astype(int)
    return a.shape == b.shape and np.abs(a - b).max() <= 1  # sums of other batches round otherwise


def calls_of(G: nn.Module) -> list[int]:
    """Filled with the number of faces each time that G makes some."""
    calls: list[int] = []
    G.synthesis.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    return calls


# ----------------------------------------------------------------------------------------------------------- sheets


def plain(count: int) -> Tensor:
    """One colour each, none of them white: uint8 [count, 3, 8, 8]."""
    return (torch.arange(count)[:, None] * 10 + torch.tensor([0, 40, 80])).to(torch.uint8)[..., None, None].expand(-1, -1, 8, 8)


@pytest.mark.parametrize("sources", [False, True])
def test_a_sheet_has_every_face_in_its_place(sources):
    rows, columns = ["first", "second"], ["a", "b", "c"]
    picture = sheet(plain(6), rows, columns, scale=3, sources=sources)
    assert picture.size == sheet_size(8, rows, columns, 3, sources)
    pixels = np.array(picture)
    centres = {}
    for i in range(6):
        ys, xs = np.nonzero((pixels == [10 * i, 10 * i + 40, 10 * i + 80]).all(-1))
        if sources and i == 0:
            assert not len(ys)  # the corner is empty
            continue
        assert len(ys) == 24 * 24
        centres[divmod(i, 3)] = (ys.mean(), xs.mean())
    for (row, column), (y, x) in centres.items():
        assert (y, x) == (centres[row, 1][0], centres[1, column][1])
    gaps = [centres[1, c + 1][1] - centres[1, c][1] for c in range(2)]
    assert gaps == ([24 + edit_widgets.GAP + edit_widgets.APART, 24 + edit_widgets.GAP] if sources else [26, 26])
    assert (pixels[:, : int(centres[1, 0][1]) - 12] < 128).any()  # the rows have their names


def test_a_sheet_without_names_is_only_faces():
    assert sheet(plain(2), [""], ["", ""], scale=1).size == (2 * 10 + 2, 12)
    assert sheet(plain(1), [""], [""]).width >= edit_widgets.TILE
    with pytest.raises(InputError, match="2 rows and 2 columns of 3"):
        sheet(plain(3), ["", ""], ["", ""])


# -------------------------------------------------------------------------------------------------------- directions


def test_direction_sliders_move_the_faces(G):
    found, ws = edit.principal_directions(G, 5, 300), edit.ws_of(G, [1, 2])
    explorer = explore_directions(G, found, ws, count=3, span=2.0)
    assert [slider.description for slider in explorer.sliders] == ["pca 0", "pca 1", "pca 2"]
    scale = edit_widgets.SHOWN // 16
    before = shown(explorer)
    assert alike(before, grid(edit.faces_of(G, ws), scale=scale, cols=2)) and explorer.label.value == "as it was"

    explorer.sliders[1].value = 1.5
    explorer.layers.value = (1, 3)
    moved = edit.moved_along(ws, found.vectors[1], 1.5 * found.scales[1], [1, 2, 3])
    torch.testing.assert_close(explorer.ws, moved)
    assert alike(shown(explorer), grid(edit.faces_of(G, moved), scale=scale, cols=2))
    assert not np.array_equal(shown(explorer), before)
    assert "pca 1 +1.50 in layers 1 to 3" in explorer.label.value

    explorer.sliders[0].value = -1.0
    moved = edit.moved_along(moved, found.vectors[0], -found.scales[0], [1, 2, 3])
    torch.testing.assert_close(explorer.ws, moved)
    explorer.reset.click()
    assert np.array_equal(shown(explorer), before) and torch.equal(explorer.ws, ws)


def test_pictures_are_made_once_and_the_oldest_are_forgotten(monkeypatch):
    G = small("stylegan2")
    explorer = explore_directions(G, edit.principal_directions(G, 1, 300), edit.ws_of(G, [1]))
    calls = calls_of(G)
    for value in (1.0, 2.0, 1.0, 0.0, 2.0):
        explorer.sliders[0].value = value
    assert calls == [1, 1]
    monkeypatch.setattr(edit_widgets, "KEPT", 2)
    explorer.sliders[0].value = 3.0
    explorer.sliders[0].value = -3.0
    explorer.sliders[0].value = 1.0
    assert len(calls) == 5 and len(explorer._pngs) <= 4


def test_where_no_widget_runs_there_is_a_sheet(G):
    ws = edit.ws_of(G, [1, 2])
    for explorer, faces in (
        (explore_directions(G, edit.principal_directions(G, 3, 300), ws, count=2), (2, 5)),
        (explore_mixing(G, ws[:1], ws[1:]), (1, 5)),
        (explore_walk(G, ws, 4), (1, 8)),
    ):
        bundle, facts = explorer._repr_mimebundle_()
        twin = decoded(base64.b64decode(bundle["image/png"]))
        assert twin.shape[1] == facts["image/png"]["width"] > faces[1] * 96 and twin.shape[0] > faces[0] * 96
        assert "application/vnd.jupyter.widget-view+json" in bundle and bundle["text/plain"]


# ------------------------------------------------------------------------------------------------------------ mixing


def test_the_layer_slider_mixes(G):
    a, b = edit.ws_of(G, [1]), edit.ws_of(G, [2, 3])
    explorer = explore_mixing(G, a, b)
    last = G.num_ws - 1
    for layers, other, chosen in (((1, 2), False, [1, 2]), ((1, 2), True, [0, *range(3, G.num_ws)]), ((0, last), True, [])):
        explorer.layers.value, explorer.everything_else.value = layers, other
        expected = edit.mixed(a.expand(2, -1, -1), b, chosen)
        assert torch.equal(explorer.ws, expected)
        rows = torch.stack([edit.faces_of(G, ws) for ws in (a.expand(2, -1, -1), expected, b)], 1).flatten(0, 1)
        assert alike(shown(explorer), sheet(rows, ["", ""], ["A", "mixed", "B"], scale=edit_widgets.SHOWN // 16))
    assert "layers of B: none" in explorer.label.value
    explorer.everything_else.value = False
    assert torch.equal(explorer.ws, b)


# -------------------------------------------------------------------------------------------------------------- walk


def test_the_walk_slider_goes_from_face_to_face(G):
    points = edit.ws_of(G, [1, 2, 3])
    explorer = explore_walk(G, points, 4, easing="linear")
    assert explorer.slider.max == 11 and explorer.play.max == 11
    scale = edit_widgets.SHOWN // 16
    for frame, ws, words in (
        (0, points[0], "face 0"),
        (4, points[1], "face 1"),
        (9, points[2] * 0.75 + points[0] * 0.25, "25% of the way from face 2 to face 0"),
    ):
        explorer.slider.value = frame
        torch.testing.assert_close(explorer.ws[0], ws)
        assert alike(shown(explorer), grid(edit.faces_of(G, ws[None]), scale=scale, padding=0))
        assert explorer.label.value == words
    calls = calls_of(G)
    explorer.slider.value = 4
    explorer.slider.value = 5
    explorer.slider.value = 4
    assert calls == [1]


# ---------------------------------------------------------------------------------------------------------- refusals


def test_what_cannot_be_explored_is_refused(G):
    ws, found = edit.ws_of(G, [1, 2, 3]), edit.principal_directions(G, 2, 300)
    longer = edit.Directions(torch.ones(1, 9), torch.ones(1), torch.ones(1), "pca", ("pca 0",))
    for make, words in (
        (lambda: explore_directions(G, longer, ws), "length 9"),
        (lambda: explore_directions(G, found, ws[:, 1:]), "ws is"),
        (lambda: explore_directions(G, found, ws, span=0.0), "span"),
        (lambda: explore_directions(G, found, ws, count=0), "count=0"),
        (lambda: explore_mixing(G, ws[:2], ws), "2 and 3 faces"),
        (lambda: explore_mixing(G, ws[0], ws), "ws_a"),
        (lambda: explore_walk(G, ws[:1]), "two faces"),
        (lambda: explore_walk(dcgan.Generator(8, 4), ws), "mapping network"),
    ):
        with pytest.raises(InputError, match=words):
            make()

"""Walks, mixing, directions and crosses: each against what it must do by definition, on both architectures."""

from __future__ import annotations

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from facegen.files import InputError
from facegen.latent import edit
from facegen.latent.sample import sample
from facegen.models import dcgan, stylegan2, stylegan3


def small(kind: str, seed: int = 0) -> nn.Module:
    """A 16-pixel generator with random weights."""
    torch.manual_seed(seed)
    widths = {"channel_base": 128, "channel_max": 16}
    if kind == "stylegan2":
        return stylegan2.Generator(8, 0, 12, 16, 3, mapping_kwargs={"num_layers": 2}, synthesis_kwargs=widths).eval()
    return stylegan3.Generator(8, 0, 12, 16, 3, num_layers=6, **widths).eval()


@pytest.fixture(scope="module", params=["stylegan2", "stylegan3"])
def G(request) -> nn.Module:
    return small(request.param)


# ------------------------------------------------------------------------------------------------------------ walks


def test_slerp_turns_evenly_and_keeps_the_length():
    a, b = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 3.0, 0.0])
    for t in (0.0, 0.25, 0.5, 1.0):
        expected = (2 + t) * torch.tensor([math.cos(t * math.pi / 2), math.sin(t * math.pi / 2), 0.0])
        torch.testing.assert_close(edit.slerp(a, b, t), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("other", [1.0, 2.0, -1.0])
def test_slerp_of_parallel_vectors_is_finite_and_ends_where_it_should(other):
    a = torch.randn(6, generator=torch.Generator().manual_seed(0))
    assert edit.slerp(a, other * a, 0.5).isfinite().all()
    torch.testing.assert_close(edit.slerp(a, other * a, 0.0), a)
    torch.testing.assert_close(edit.slerp(a, other * a, 1.0), other * a)


@pytest.mark.parametrize("easing", edit.EASINGS)
@pytest.mark.parametrize("sphere", [True, False])
def test_a_walk_visits_its_points_in_small_steps_and_a_loop_closes(easing, sphere):
    points = torch.randn(4, 5, 16, generator=torch.Generator().manual_seed(1))
    path = edit.walk(points, 20, easing=easing, sphere=sphere)
    assert path.shape == (61, 5, 16)
    torch.testing.assert_close(path[::20], points)
    closed = edit.walk(points, 20, loop=True, easing=easing, sphere=sphere)
    assert closed.shape == (80, 5, 16)
    steps = (closed.roll(-1, 0) - closed).flatten(1).norm(dim=1)  # the last one leads back to the first frame
    far = (points.roll(-1, 0) - points).flatten(1).norm(dim=1).max()
    assert steps.max() < 2.2 * far / 20  # the steepest easing is pi / 2 times as fast as the even one
    assert steps.min() > 0


def test_walks_that_cannot_be_are_refused():
    points = torch.zeros(2, 4)
    for change, words in ((points[:1], "two faces"), (points, "frames=0")):
        with pytest.raises(InputError, match=words):
            edit.walk(change, 0 if words == "frames=0" else 5)
    with pytest.raises(InputError, match="smooth"):
        edit.walk(points, 5, easing="bouncy")


# ----------------------------------------------------------------------------------------------------------- mixing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0-3,7", [0, 1, 2, 3, 7]),
        ("5", [5]),
        ("coarse", [0, 1, 2]),
        ("middle", [3, 4, 5]),
        ("fine,0", [0, 6, 7]),
        ("all", list(range(8))),
    ],
)
def test_layers_are_read_as_they_are_meant(text, expected):
    assert edit.parse_layers(text, 8) == expected


@pytest.mark.parametrize("text", ["", "8", "0-9", "a", "1-", "-1", "0,,2"])
def test_layers_that_are_none_are_refused(text):
    with pytest.raises(InputError, match="layers"):
        edit.parse_layers(text, 8)


def test_mixing_takes_just_the_named_layers():
    ws, others = torch.zeros(2, 6, 3), torch.ones(2, 6, 3)
    result = edit.mixed(ws, others, [1, 4])
    assert result[:, :, 0].tolist() == [[0, 1, 0, 0, 1, 0]] * 2
    assert not ws.any()
    rows, columns = torch.arange(2.0).reshape(2, 1, 1).expand(2, 6, 3), 10 + torch.arange(3.0).reshape(3, 1, 1).expand(3, 6, 3)
    made = edit.mixing_table(rows, columns, [5])
    assert made[:, 0, 0].tolist() == [0, 0, 0, 1, 1, 1] and made[:, 5, 0].tolist() == [10, 11, 12, 10, 11, 12]


# ------------------------------------------------------------------------------------------------------- directions


def test_style_weights_belong_to_the_layers_whose_w_they_read(G):
    seen: dict[int, list[float]] = {}
    affines = [module.affine for module in G.synthesis.modules() if isinstance(getattr(module, "affine", None), nn.Module)]
    hooks = [
        affine.register_forward_pre_hook(lambda module, inputs, i=i: seen.setdefault(i, []).append(inputs[0][0, 0].item()))
        for i, affine in enumerate(affines)
    ]
    ws = torch.arange(float(G.num_ws)).reshape(1, -1, 1).expand(1, G.num_ws, G.w_dim)
    G.synthesis(ws.contiguous(), noise_mode="const")
    for hook in hooks:
        hook.remove()
    assert [layer for layer, _ in edit.style_weights(G)] == [seen[i][0] for i in range(len(affines))]
    assert all(weight.shape[1] == G.w_dim for _, weight in edit.style_weights(G))


def test_the_first_principal_direction_is_the_one_in_which_w_varies_most(G):
    found = edit.principal_directions(G, 4, 1000)
    w = edit.sampled_w(G, 1000)
    spread = (w @ torch.nn.functional.normalize(torch.randn(G.w_dim, 200), dim=0)).std(0)
    assert found.scales[0] >= spread.max() - 1e-5
    torch.testing.assert_close((w @ found.vectors.T).std(0), found.scales, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.vectors @ found.vectors.T, torch.eye(4), atol=1e-5, rtol=0)
    assert (found.strengths.diff() <= 0).all() and found.strengths.sum() <= 1 + 1e-6


def test_the_first_factor_moves_the_styles_most(G):
    found = edit.factor_directions(G, 3, layers=[1, 2])
    rows = torch.cat(
        [torch.nn.functional.normalize(weight, dim=1) for layer, weight in edit.style_weights(G) if layer in (1, 2)]
    )
    moves = (rows @ found.vectors.T).norm(dim=0)
    others = (rows @ torch.nn.functional.normalize(torch.randn(G.w_dim, 500), dim=0)).norm(dim=0)
    assert moves[0] >= others.max() - 1e-4 and (moves.diff() <= 1e-5).all()
    with pytest.raises(InputError, match="layers"):
        edit.factor_directions(G, 3, layers=[99])


def test_a_label_s_direction_is_the_one_it_was_made_with():
    g = torch.Generator().manual_seed(3)
    truth = torch.nn.functional.normalize(torch.randn(10, generator=g), dim=0)
    w = torch.randn(800, 10, generator=g) * torch.linspace(0.5, 2, 10)
    found = edit.label_direction(w, (w @ truth + 0.3 * torch.randn(800, generator=g)) > 0.8, "smile")
    assert found.vectors[0] @ truth > 0.98 and found.strengths[0] > 0.85 and found.names == ("smile",)
    chance = edit.label_direction(w, torch.rand(800, generator=g) > 0.5)
    assert chance.strengths[0] < 0.6


def test_labels_that_tell_nothing_are_refused():
    w = torch.randn(10, 4)
    with pytest.raises(InputError, match="too few"):
        edit.label_direction(w, torch.tensor([1] + [0] * 9))
    with pytest.raises(InputError, match="0 and 1"):
        edit.label_direction(w, torch.arange(10))


def test_a_direction_moves_only_the_layers_asked_for():
    ws = torch.zeros(2, 5, 3)
    moved = edit.moved_along(ws, torch.tensor([0.0, 1.0, 0.0]), torch.tensor([1.0, -2.0]), [3])
    assert moved[:, 3, 1].tolist() == [1.0, -2.0] and moved.abs().sum() == 3
    sweep = edit.moved_along(ws[:1], torch.tensor([1.0, 0.0, 0.0]), torch.tensor([-1.0, 0.0, 1.0]), [0, 1])
    assert sweep[:, :, 0].tolist() == [[-1, -1, 0, 0, 0], [0] * 5, [1, 1, 0, 0, 0]]


def test_a_dcgan_has_no_w_to_walk_in():
    with pytest.raises(InputError, match="mapping network"):
        edit.principal_directions(dcgan.Generator(8, 8))


# ------------------------------------------------------------------------------------------------- crosses of models


def child_of(G: nn.Module) -> nn.Module:
    child = copy.deepcopy(G)
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in child.parameters():
            weight.add_(0.3 * torch.randn(weight.shape))
    return child


def pictures(G: nn.Module, ws: Tensor) -> Tensor:
    with torch.no_grad():
        return G.synthesis(ws, noise_mode="const")


def test_a_blend_is_one_parent_at_either_end_and_both_between(G):
    child = child_of(G)
    ws = torch.randn(2, G.num_ws, G.w_dim, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pictures(edit.blended(G, child, G.num_ws), ws), pictures(G, ws))
    assert torch.equal(pictures(edit.blended(G, child, 0), ws), pictures(child, ws))
    half = edit.blended(G, child, G.num_ws // 2)
    places = edit._layer_of(G)
    for name, value in half.state_dict().items():
        parent = child if places.get(name, -1) >= G.num_ws // 2 else G
        assert torch.equal(value, parent.state_dict()[name]), name
    smooth = edit.blended(G, child, G.num_ws // 2, width=4.0)
    assert not torch.equal(pictures(smooth, ws), pictures(half, ws))


def test_weights_between_two_relatives(G):
    child = child_of(G)
    middle = edit.interpolated(G, child, 0.5)
    for name, value in middle.named_parameters():
        torch.testing.assert_close(value, (G.get_parameter(name) + child.get_parameter(name)) / 2)
    ws = torch.randn(1, G.num_ws, G.w_dim, generator=torch.Generator().manual_seed(0))
    assert torch.equal(pictures(edit.interpolated(G, child, 0.0), ws), pictures(G, ws))
    with pytest.raises(InputError, match="share"):
        edit.interpolated(G, child, 1.5)


def test_strangers_are_not_blended(G):
    other = small("stylegan3" if isinstance(G, stylegan2.Generator) else "stylegan2")
    with pytest.raises(InputError, match="relatives"):
        edit.blended(G, other, 2)
    with pytest.raises(InputError, match="from_layer"):
        edit.blended(G, child_of(G), 99)


def test_relatives_have_much_in_common_and_strangers_nothing(G):
    child = child_of(G)
    assert edit.kinship(G, G) == pytest.approx(1) and 0.6 < edit.kinship(G, child) < 1
    kind = "stylegan2" if isinstance(G, stylegan2.Generator) else "stylegan3"
    assert abs(edit.kinship(G, small(kind, seed=7))) < 0.1


# ------------------------------------------------------------------------------------------- from latents to faces


def test_the_faces_of_ws_are_those_of_their_seeds(G):
    seeds = [3, 1, 70]
    ws = edit.ws_of(G, seeds, trunc=0.6, cutoff=2)
    assert ws.shape == (3, G.num_ws, G.w_dim)
    assert (edit.faces_of(G, ws).int() - sample(G, seeds, trunc=0.6, cutoff=2).int()).abs().max() <= 1
    assert not torch.equal(edit.ws_of(G, seeds), ws)
    many = ws[:1].repeat(150, 1, 1)
    assert [len(batch) for batch in edit.face_batches(G, many, progress=False)] == [64, 64, 22]


def test_a_class_is_asked_for_where_there_are_some():
    torch.manual_seed(0)
    G = stylegan2.Generator(8, 3, 12, 16, 3, {"num_layers": 2}, {"channel_base": 128, "channel_max": 16}).eval()
    assert not torch.equal(edit.ws_of(G, [1], labels=0), edit.ws_of(G, [1], labels=2))
    assert edit.principal_directions(G, 2, 100, labels=1).vectors.shape == (2, 12)
    for refused in (lambda: edit.ws_of(G, [1]), lambda: edit.sampled_w(G, 10), lambda: edit.ws_of(G, [1], labels=3)):
        with pytest.raises(InputError, match="class"):
            refused()


def test_latents_that_show_nothing_are_refused(G):
    ws = edit.ws_of(G, [1])
    with pytest.raises(InputError, match="the latents are"):
        edit.faces_of(G, ws[:, 1:])
    with pytest.raises(InputError, match="NaN"):
        edit.faces_of(G, ws * float("nan"))
    with pytest.raises(InputError, match="no seed"):
        edit.ws_of(G, [])
    with pytest.raises(InputError, match="truncation"):
        edit.ws_of(G, [1], trunc=float("inf"))


# ------------------------------------------------------------------------------------------- directions as files


def test_directions_come_back_from_their_file(G, tmp_path):
    a, b = edit.principal_directions(G, 2, 100), edit.factor_directions(G, 1)
    both = edit.joined([a, b])
    edit.save_directions(tmp_path / "d.npz", both)
    found = edit.load_directions(tmp_path / "d.npz", G)
    for name in ("vectors", "scales", "strengths"):
        assert torch.equal(getattr(found, name), torch.cat([getattr(a, name), getattr(b, name)]))
    assert found.names == ("pca 0", "pca 1", "factor 0") and found.kind == "pca+factors"
    assert [edit.chosen(found, which) for which in (1, "1", "PCA 1", "factor 0")] == [1, 1, 1, 2]
    for which in ("3", "-1", "smile", ""):
        with pytest.raises(InputError, match="0 to 2"):
            edit.chosen(found, which)


def test_other_files_are_no_directions(G, tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 and then nothing")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "w.npz", w=np.zeros((1, 2, 3)))
    one = edit.principal_directions(G, 2, 100)
    edit.save_directions(tmp_path / "short.npz", dataclasses.replace(one, names=("a",)))
    edit.save_directions(tmp_path / "nan.npz", dataclasses.replace(one, scales=one.scales * float("nan")))
    edit.save_directions(tmp_path / "other.npz", dataclasses.replace(one, vectors=one.vectors[:, 1:]))
    for name in ("none", "text", "torn", "empty", "w", "short", "nan", "other"):
        with pytest.raises(InputError, match=f"{name}.npz"):
            edit.load_directions(tmp_path / f"{name}.npz", G)


@pytest.mark.parametrize("yes_no", [True, False])
def test_a_function_s_measure_gives_the_direction_that_changes_it(G, yes_no):
    def brightness(faces: Tensor) -> Tensor:
        return faces.float().mean((1, 2, 3))

    level = brightness(edit.faces_of(G, edit.ws_of(G, range(100)))).median()
    found = edit.measured_direction(G, (lambda faces: brightness(faces) > level) if yes_no else brightness, 400, name="bright")
    ws = edit.ws_of(G, range(500, 540))
    darker, brighter = (
        brightness(edit.faces_of(G, edit.moved_along(ws, found.vectors[0], s * found.scales[0]))) for s in (-1, 1)
    )
    assert ((brighter > darker).float().mean()) > 0.9 and found.names == ("bright",)
    with pytest.raises(InputError, match="one number each"):
        edit.measured_direction(G, lambda faces: faces.float().mean(), 10)

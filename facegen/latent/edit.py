"""Editing in a latent space: walks between faces, style mixing, directions, and crosses of two models.

All functions take and give plain tensors, the same for StyleGAN2 and StyleGAN3: z [N, z_dim], ws [N, num_ws, w_dim].

points = torch.cat([ws_of(G, range(3), trunc=0.7), load_latents("me.npz", G)])
ws = walk(points, frames=60, loop=True)                            # a film's latents
ws = moved_along(ws, principal_directions(G).vectors[0], strength=2.0, layers=range(4, 8))
faces = faces_of(G, ws)                                            # uint8 [240, 3, H, W]
child = blended(parent, cartoon, from_layer=5)                     # coarse layers of one model, fine ones of the other
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import typing
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from facegen.config import TRUNC
from facegen.data.kinds import seems
from facegen.data.packed import to_pixels
from facegen.files import InputError, replacing
from facegen.latent.sample import (
    Labels,
    check_channels,
    check_trunc,
    evaluating,
    has_styles,
    latents,
    one_hot,
    usual_batch,
)

if typing.TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

WEIGHT_DECAY = 1e-2  # of a label's direction
EASINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda t: t,
    "smooth": lambda t: t * t * (3 - 2 * t),  # stands still for a moment at every face
    "sine": lambda t: 0.5 - 0.5 * torch.cos(math.pi * t),
}


# ------------------------------------------------------------------------------------------- from latents to faces


@torch.no_grad()
def mapped(G: nn.Module, z: Tensor, *, trunc: float = TRUNC, cutoff: int | None = None, labels: Labels | None = None) -> Tensor:
    """ws [N, num_ws, w_dim] of z [N, z_dim], on the CPU; trunc, cutoff and labels as for `facegen.latent.sample.sample`."""
    check_styles(G)
    where, c = next(G.parameters()).device, one_hot(G, labels, len(z))
    check_trunc(trunc)
    parts = []
    with evaluating(G):
        for start in range(0, len(z), 1000):
            part = slice(start, start + 1000)
            c_here = None if c is None else c[part].to(where)
            parts.append(G.mapping(z[part].to(where), c_here, truncation_psi=trunc, truncation_cutoff=cutoff).float().cpu())
    return torch.cat(parts)


def ws_of(
    G: nn.Module, seeds: Iterable[int], *, trunc: float = TRUNC, cutoff: int | None = None, labels: Labels | None = None
) -> Tensor:
    """ws [N, num_ws, w_dim] of the faces of seeds, on the CPU: those that `facegen.latent.sample.sample` shows.

    Raises:
        InputError: a generator without w, no seed, or what `sample` refuses.
    """
    check_styles(G)
    seeds = list(seeds)
    if not seeds:
        raise InputError("no seed given, so there is no face to start from")
    return mapped(G, latents(G, seeds), trunc=trunc, cutoff=cutoff, labels=labels)


def check_styles(G: nn.Module) -> None:
    """Refuse a generator without w."""
    if not has_styles(G):
        raise InputError("this generator has no mapping network and so no w: take a StyleGAN2 or StyleGAN3")


def face_batches(
    G: nn.Module, ws: Tensor, *, noise_mode: str = "const", dtype: torch.dtype = torch.float32, progress: bool = True
) -> Iterator[Tensor]:
    """The pictures of ws [N, num_ws, w_dim], batch by batch, each made when it is asked for: uint8 [n, 3, H, W] on the CPU."""
    check_styles(G)
    if ws.ndim != 3 or tuple(ws.shape[1:]) != (G.num_ws, G.w_dim):
        raise InputError(f"the latents are {list(ws.shape)}, the model's ws are [N, {G.num_ws}, {G.w_dim}]")
    check_channels(G)
    where = next(G.parameters()).device
    with tqdm(total=len(ws), unit="face", disable=None if progress else True) as bar:
        for part in ws.split(usual_batch(G)):
            with torch.no_grad(), evaluating(G):
                faces = G.synthesis(part.to(where), noise_mode=noise_mode, dtype=dtype)
            if faces.isnan().any():
                raise InputError("the network gives NaN for these latents: its weights are damaged, or they lie too far out")
            bar.update(len(part))
            yield to_pixels(faces).expand(-1, 3, -1, -1)


def faces_of(
    G: nn.Module, ws: Tensor, *, noise_mode: str = "const", dtype: torch.dtype = torch.float32, progress: bool = True
) -> Tensor:
    """All of `face_batches` at once: uint8 [N, 3, H, W] on the CPU."""
    return torch.cat(list(face_batches(G, ws, noise_mode=noise_mode, dtype=dtype, progress=progress)))


# ------------------------------------------------------------------------------------------------------------ walks


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """From a to b along the sphere, the length changing evenly (Shoemake 1985): for z.

    Random z [z_dim] all lie near the sphere of radius sqrt(z_dim). The straight way between two of them passes inside it, where
    no z ever was; in w, which a network has laid out, straight lines are right.

    Args:
        a, b: [..., D].
        t: 0 gives a, 1 gives b; a number or [...].
    """
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)[..., None]
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / length_a.clamp_min(1e-12), b / length_b.clamp_min(1e-12)
    # Between unit vectors arccos loses half of its digits for small angles, atan2 of these lengths none.
    angle = 2 * torch.atan2((unit_a - unit_b).norm(dim=-1, keepdim=True), (unit_a + unit_b).norm(dim=-1, keepdim=True))
    sine = torch.sin(angle)
    straight = sine.abs() < 1e-6  # alike or opposite: any great circle will do, and the formula divides by 0
    safe = torch.where(straight, torch.ones_like(sine), sine)
    weight_a = torch.where(straight, 1 - t, torch.sin((1 - t) * angle) / safe)
    weight_b = torch.where(straight, t, torch.sin(t * angle) / safe)
    return (weight_a * unit_a + weight_b * unit_b) * length_a.lerp(length_b, t)


def walk(points: Tensor, frames: int, *, loop: bool = False, easing: str = "smooth", sphere: bool = False) -> Tensor:
    """Latents of a film that visits every point in turn.

    Args:
        points: [K, ...] of z or ws, K >= 2.
        frames: from each point to the next; the film has (K - 1) * frames + 1, or K * frames if it loops.
        loop: go back to the first point; the last frame is then one step before the first, so that the film closes.
        easing: "linear", "smooth" or "sine".
        sphere: walk by `slerp` over the last dimension, as z wants it, instead of straight.

    Raises:
        InputError: fewer than two points, no frames, or an unknown easing.
    """
    if len(points) < 2:
        raise InputError(f"a walk goes between two faces or more, and here is {len(points)}")
    if frames < 1:
        raise InputError(f"frames={frames}: give how many there are from each face to the next, 1 or more")
    if easing not in EASINGS:
        raise InputError(f"easing={easing!r} is not known: choose one of {', '.join(EASINGS)}")
    stops = torch.cat([points, points[:1]]) if loop else points
    t = EASINGS[easing](torch.arange(frames, dtype=points.dtype) / frames).to(points.device)
    parts = []
    for a, b in itertools.pairwise(stops):
        shape = (frames, *[1] * (points.ndim - 1))
        if sphere:
            parts.append(slerp(a.expand(frames, *a.shape), b.expand(frames, *b.shape), t.reshape(shape[:-1])))
        else:
            parts.append(a + (b - a) * t.reshape(shape))
    return torch.cat(parts if loop else [*parts, points[-1:]])


# ----------------------------------------------------------------------------------------------------------- mixing


def parse_layers(text: str, num_ws: int) -> list[int]:
    """ "0-3,7" -> [0, 1, 2, 3, 7]; "coarse", "middle" and "fine" are thirds of all layers, "all" is all.
    """
    thirds = [0, math.ceil(num_ws / 3), math.ceil(2 * num_ws / 3), num_ws]
    names = {"all": (0, num_ws)} | {name: (thirds[i], thirds[i + 1]) for i, name in enumerate(("coarse", "middle", "fine"))}
    found: set[int] = set()
    for part in text.split(","):
        part = part.strip().lower()
        if part in names:
            found.update(range(*names[part]))
            continue
        first, dash, last = part.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(f"layers {text!r}: give numbers and ranges such as 0-3,7, or coarse, middle, fine, all")
        found.update(range(int(first), int(last or first) + 1))
    if not found or max(found) >= num_ws:
        raise InputError(f"layers {text!r}: the model has the layers 0 to {num_ws - 1}")
    return sorted(found)


def mixed(ws: Tensor, others: Tensor, layers: Iterable[int]) -> Tensor:
    """ws with the given layers' styles from `others`, both [N, num_ws, w_dim] (Karras et al. 2019, section 3.1)."""
    result, layers = ws.clone(), list(layers)
    result[:, layers] = others[:, layers]
    return result


def mixing_table(rows: Tensor, columns: Tensor, layers: Iterable[int]) -> Tensor:
    """[R, num_ws, w_dim] and [C, num_ws, w_dim] -> [R * C, ...]: each row's face with those layers of each column's."""
    return mixed(rows.repeat_interleave(len(columns), 0), columns.repeat(len(rows), 1, 1), layers)


# ------------------------------------------------------------------------------------------------------- directions


@dataclasses.dataclass(frozen=True)
class Directions:
    """Directions in w, the strongest first.

    Attributes:
        vectors: unit vectors [K, w_dim].
        scales: [K]: how far one "strength" goes along each: a standard deviation of w along it.
        strengths: [K]: what they are ordered by; for "pca" shares of the variance, for "factors" eigenvalues as shares, for
            "labels" how well the direction tells the label (accuracy on w that were held out).
        kind: "pca", "factors" or "labels".
        names: of each, for sliders.
    """

    vectors: Tensor
    scales: Tensor
    strengths: Tensor
    kind: str
    names: tuple[str, ...]


def sampled_w(G: nn.Module, count: int = 10_000, seed: int = 0, labels: Labels | None = None) -> Tensor:
    """w [count, w_dim] of random z, on the CPU; labels as for `facegen.latent.sample.sample`.

    Raises:
        InputError: a generator without w, or fewer than two.
    """
    check_styles(G)
    if count < 2:
        raise InputError(f"count={count}: directions need the spread of many w")
    z = torch.from_numpy(np.random.RandomState(seed).randn(count, G.z_dim)).float()
    return mapped(G, z, labels=labels)[:, 0]


def principal_directions(
    G: nn.Module, k: int = 10, count: int = 10_000, seed: int = 0, labels: Labels | None = None
) -> Directions:
    """The directions in which w varies most (Härkönen et al. 2020, GANSpace, arXiv:2004.02546)."""
    w = sampled_w(G, count, seed, labels)
    k = _at_most(k, min(w.shape[1], count - 1))
    _, singular, vectors = torch.linalg.svd((w - w.mean(0)).double(), full_matrices=False)
    share = singular.square() / singular.square().sum()
    scales = singular / math.sqrt(count - 1)
    names = tuple(f"pca {i}" for i in range(k))
    return Directions(_signed(vectors[:k]).float(), scales[:k].float(), share[:k].float(), "pca", names)


def factor_directions(
    G: nn.Module, k: int = 10, layers: Iterable[int] | None = None, seed: int = 0, labels: Labels | None = None
) -> Directions:
    """The directions to which the styles answer most: eigenvectors of A^T A (Shen and Zhou 2021, SeFa, arXiv:2007.06600).

    A stacks the weights that turn w into the styles of the given layers, each row of unit length; no picture is needed.
    """
    check_styles(G)
    chosen = set(range(G.num_ws)) if layers is None else set(layers)
    rows = [weight for index, weight in style_weights(G) if index in chosen]
    if not rows:
        raise InputError(f"layers {sorted(chosen)}: the model's styles belong to the layers 0 to {G.num_ws - 1}")
    A = F.normalize(torch.cat(rows).double(), dim=1)
    values, vectors = torch.linalg.eigh(A.T @ A)
    k = _at_most(k, len(values))
    vectors = _signed(vectors.T.flip(0)[:k])
    scales = (sampled_w(G, 2000, seed, labels).double() @ vectors.T).std(0)
    share = values.flip(0)[:k] / values.sum()
    return Directions(vectors.float(), scales.float(), share.float(), "factors", tuple(f"factor {i}" for i in range(k)))


def style_weights(G: nn.Module) -> list[tuple[int, Tensor]]:
    """(index into ws, weight [C, w_dim] in use) of every layer that makes styles of w, in the order of the layers."""
    found, layer = [], 0
    for name, module in G.synthesis.named_modules():
        affine = getattr(module, "affine", None)
        if not isinstance(affine, nn.Module):
            continue
        weight = affine.weight.detach().float().cpu() * getattr(affine, "weight_gain", 1.0)
        found.append((layer, weight))
        layer += not name.endswith("torgb")  # StyleGAN2's reads the same w as the convolution after it
    return found


def label_direction(w: Tensor, labels: Tensor, name: str = "label") -> Directions:
    """The direction in which a label changes: the normal of a logistic regression (Shen et al. 2020, arXiv:1907.10786).

    Args:
        w: [N, w_dim] of pictures that were rated or measured.
        labels: bool or 0 and 1, [N].
        name: of the attribute.
    """
    y = labels.double()
    if w.ndim != 2 or y.shape != (len(w),) or not bool(((y == 0) | (y == 1)).all()):
        raise InputError(f"w {list(w.shape)} and labels {list(labels.shape)}: wanted are [N, w_dim] and [N] of 0 and 1")
    kinds = int(min(y.sum(), len(y) - y.sum()))
    if kinds < 4:
        raise InputError(f"{name}: {kinds} pictures of one kind are too few to find a direction from, rate more")
    mean, std = w.double().mean(0), w.double().std(0).clamp_min(1e-8)
    x, y = ((w.double() - mean) / std).numpy(), y.numpy()
    held = np.arange(len(x)) % 4 == 0
    accuracy = torch.tensor(_boundary(x[~held], y[~held]).score(x[held], y[held]))
    normal = F.normalize(torch.from_numpy(_boundary(x, y).coef_[0]) / std, dim=0)
    scale = (w.double() @ normal).std()
    return Directions(normal[None].float(), scale[None].float(), accuracy[None].float(), "labels", (name,))


def _boundary(x: np.ndarray, y: np.ndarray) -> LogisticRegression:
    """A logistic regression with both kinds weighted alike; the fewer pictures, the more its weights are pulled to 0."""
    from sklearn.linear_model import LogisticRegression  # a second to import

    pull = 1 / (WEIGHT_DECAY * len(x))
    return LogisticRegression(C=pull, class_weight="balanced", solver="newton-cholesky", tol=1e-9).fit(x, y)


def measured_direction(G: nn.Module, measure: Callable[[Tensor], Tensor], count: int = 1000, name: str = "label") -> Directions:
    """`label_direction` for labels that a function tells, from the pictures of `count` random w.

    Args:
        measure: uint8 [n, 3, H, W] -> [n], bool; or numbers, of which the lower half counts as 0 and the upper as 1.
        name: of what it measures.

    Raises:
        InputError: numbers that do not fit the pictures or are not finite, or what `label_direction` refuses.
    """
    w = sampled_w(G, count)
    parts = []
    for faces in face_batches(G, w[:, None].expand(-1, G.num_ws, -1)):
        found = torch.as_tensor(measure(faces)).cpu()
        if found.shape != (len(faces),):
            raise InputError(
                f"{name}: the measure gave {list(found.shape)} for {len(faces)} pictures, wanted is one number each"
            )
        parts.append(found)
    values = torch.cat(parts)
    if values.dtype == torch.bool:
        return label_direction(w, values, name)
    if not values.float().isfinite().all():
        raise InputError(f"{name}: the measure gave a number that is not finite")
    return label_direction(w, values > values.double().median(), name)


def joined(directions: Iterable[Directions]) -> Directions:
    """Several sets as one, in their order.

    Raises:
        InputError: none, or sets for models of different w_dim.
    """
    sets = list(directions)
    if len({one.vectors.shape[1] for one in sets}) != 1:
        raise InputError(f"{len(sets)} sets of directions: wanted are some of one length of w")
    parts = [torch.cat([getattr(one, name) for one in sets]) for name in ("vectors", "scales", "strengths")]
    kinds = dict.fromkeys(one.kind for one in sets)
    return Directions(*parts, "+".join(kinds), tuple(name for one in sets for name in one.names))


def save_directions(path: str | Path, directions: Directions) -> None:
    """Write directions as an .npz of plain arrays, named as `Directions`' attributes."""
    arrays = {name: getattr(directions, name).cpu().float().numpy() for name in ("vectors", "scales", "strengths")}
    with replacing(Path(path)) as temporary, open(temporary, "wb") as file:
        np.savez(file, kind=np.array(directions.kind), names=np.array(directions.names), **arrays)


def load_directions(path: str | Path, G: nn.Module | None = None) -> Directions:
    """Read what `save_directions` wrote."""
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            tensors = [torch.from_numpy(np.array(arrays[name], np.float32)) for name in ("vectors", "scales", "strengths")]
            kind, names = str(arrays["kind"]), tuple(str(name) for name in arrays["names"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        why = f"{type(error).__name__}{seems(path)}"
        text = f"{path}: no directions could be read ({why}): make some with `facegen directions`"
        raise InputError(text) from None
    vectors, *numbers = tensors
    fits = vectors.ndim == 2 and all(one.shape == (len(vectors),) for one in numbers) and len(names) == len(vectors)
    if not fits or not all(one.isfinite().all() for one in tensors):
        raise InputError(f"{path}: its arrays do not fit each other, or hold numbers that are not finite")
    if G is not None and vectors.shape[1] != G.w_dim:
        raise InputError(f"{path}: directions of length {vectors.shape[1]}, the model's w has {G.w_dim}: they are another's")
    return Directions(*tensors, kind, names)


def chosen(directions: Directions, which: str | int) -> int:
    """The index of a direction by its number or its name."""
    names = [name.casefold() for name in directions.names]
    text = str(which).strip().casefold()
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < len(names):
        return int(text)
    shown = ", ".join(directions.names[:8]) + (", ..." if len(names) > 8 else "")
    raise InputError(f"direction {which!r}: there are the numbers 0 to {len(names) - 1}, or the names {shown}")


def moved_along(ws: Tensor, direction: Tensor, strength: float | Tensor, layers: Iterable[int] | None = None) -> Tensor:
    """ws [N, num_ws, w_dim] + strength * direction [w_dim], in all layers or in some; strength a number or [N]."""
    strength = torch.as_tensor(strength, dtype=ws.dtype, device=ws.device).reshape(-1, 1, 1)
    shifted = ws + strength * direction.to(ws)
    return shifted if layers is None else mixed(ws.expand_as(shifted), shifted, layers)


def _at_most(k: int, most: int) -> int:
    if k < 1:
        raise InputError(f"k={k}: ask for one direction or more")
    return min(k, most)


def _signed(vectors: Tensor) -> Tensor:
    """Each vector's largest coordinate positive: a decomposition leaves the sign to chance."""
    largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
    return vectors * largest.sign()


# ------------------------------------------------------------------------------------------------- crosses of models


def check_relatives(a: nn.Module, b: nn.Module) -> None:
    """Refuse generators whose weights have no place in each other."""
    check_styles(a)
    check_styles(b)
    if type(a) is not type(b):
        kinds = [type(G).__module__.rpartition(".")[2] for G in (a, b)]
        raise InputError(f"one model is a {kinds[0]}, the other a {kinds[1]}: only relatives of the same kind go together")
    for what, name in (("pixels", "img_resolution"), ("layers", "num_ws"), ("numbers in w", "w_dim"), ("classes", "c_dim")):
        if getattr(a, name) != getattr(b, name):
            numbers = f"{getattr(a, name)} and {getattr(b, name)} {what}"
            raise InputError(f"the two models have {numbers}: only relatives of the same size go together")
    ours, theirs = a.state_dict(), b.state_dict()
    for name in ours.keys() | theirs.keys():
        if name not in ours or name not in theirs or ours[name].shape != theirs[name].shape:
            raise InputError(f"the two models differ in {name}: only relatives of the same size go together")


def kinship(a: nn.Module, b: nn.Module) -> float:
    """How much alike two generators' weights are: the cosine between the same layer's weights, on average over the synthesis.

    Models that were trained apart have about 0, however alike their pictures are; one that was fine-tuned from the other has
    more than a half as a rule. The layers of those speak one language, and only they can be blended.

    Raises:
        InputError: what `check_relatives` refuses.
    """
    check_relatives(a, b)
    theirs = dict(b.synthesis.named_parameters())
    # Biases start alike in all models, and mapping networks hardly leave their start.
    pairs = [
        (value.detach().double().flatten(), theirs[name].detach().to(value).double().flatten())
        for name, value in a.synthesis.named_parameters()
        if value.ndim >= 2 and name.endswith("weight") and value.any() and theirs[name].any()
    ]
    return sum(float(F.cosine_similarity(x, y, dim=0)) for x, y in pairs) / max(1, len(pairs))


def blended(coarse: nn.Module, fine: nn.Module, from_layer: int, width: float = 0.0, mapping: str = "coarse") -> nn.Module:
    """A generator with one relative's coarse and another's fine layers (Pinkney and Adler 2020, arXiv:2010.05334).

    Both have to descend from the same model (one fine-tuned from the other), or their layers do not speak one language.

    Args:
        coarse, fine: generators of the same kind and sizes; they stay as they are.
        from_layer: the first style layer (index into ws) that is `fine`'s; 0 is all of `fine`, num_ws all of `coarse`.
        width: layers over which the weights change from one to the other; 0 is a cut.
        mapping: whose mapping network: "coarse" or "fine".
    """
    check_relatives(coarse, fine)
    names, places, others = coarse.state_dict(), _layer_of(coarse), fine.state_dict()
    if not 0 <= from_layer <= coarse.num_ws:
        raise InputError(f"from_layer={from_layer}: give 0 to {coarse.num_ws}")
    if mapping not in ("coarse", "fine"):
        raise InputError(f"mapping={mapping!r}: choose coarse or fine")
    result = copy.deepcopy(coarse)
    state = result.state_dict()
    for name, value in state.items():
        place = places.get(name)
        share = float(mapping == "fine") if place is None else _share(place, from_layer, width)
        if value.is_floating_point():
            value.copy_(names[name].lerp(others[name].to(value), share))  # a state dict's tensors are the network's own
    return result


def _share(layer: int, from_layer: int, width: float) -> float:
    """How much of `fine` a layer has."""
    if width <= 0:
        return float(layer >= from_layer)
    return 1 / (1 + math.exp(-(layer - from_layer + 0.5) / (width / 4)))


def _layer_of(G: nn.Module) -> dict[str, int]:
    """Name of each of the synthesis network's weights -> the index into ws of its layer."""
    places, layer = {}, 0
    for name, module in G.synthesis.named_modules():
        if not isinstance(getattr(module, "affine", None), nn.Module):
            continue
        for key in module.state_dict():
            places[f"synthesis.{name}.{key}"] = layer
        layer += not name.endswith("torgb")
    return {key: places.get(key, 0) for key in G.state_dict() if key.startswith("synthesis.")}


def interpolated(a: nn.Module, b: nn.Module, share: float) -> nn.Module:
    """A generator whose weights lie between two relatives': share 0 is a, 1 is b."""
    if not 0 <= share <= 1:
        raise InputError(f"share={share}: give 0 for the first model to 1 for the second")
    result = blended(a, b, a.num_ws)
    state, ours, theirs = result.state_dict(), a.state_dict(), b.state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            value.copy_(ours[name].lerp(theirs[name].to(value), share))
    return result

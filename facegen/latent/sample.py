"""Faces from seeds, with any of the package's generators; and moving a StyleGAN3's picture as a whole.

from facegen.latent.sample import sample
from facegen.models.pretrained import load

G = load("model.pkl").G
faces = sample(G, range(8), trunc=0.7)  # uint8 [8, 3, H, W]
"""

from __future__ import annotations

import contextlib
import math
import operator
import re
import reprlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from facegen.config import TRUNC
from facegen.data.packed import to_pixels
from facegen.files import InputError
from facegen.models.stylegan2 import NOISE_MODES

# What `sample` takes as classes.
Labels = int | Sequence[int] | np.ndarray | Tensor
# Added to a seed for the noise inputs, so that they are not the same numbers as z, which has the seed itself.
NOISE_STREAM = 0x5EED_0F_A015E
# Pictures of 64 x 64 pixels in a batch; larger ones are made in smaller batches of about the same memory.
BATCH_64 = 64


def has_styles(G: nn.Module) -> bool:
    """Whether a generator has a mapping and a synthesis network, as StyleGAN2 and StyleGAN3 have and DCGAN has not."""
    return hasattr(G, "mapping") and hasattr(G, "synthesis")


def can_move(G: nn.Module) -> bool:
    """Whether a generator's input can be moved and turned: StyleGAN3's, which starts from Fourier features."""
    return has_styles(G) and hasattr(getattr(G.synthesis, "input", None), "transform")


def has_noise(G: nn.Module) -> bool:
    """Whether a generator has noise inputs: StyleGAN2's, unless it was made without."""
    return any(getattr(module, "use_noise", False) for module in G.modules())


def seeds_of(text: str, flag: str = "--seeds") -> list[int]:
    """ "0-3,7" -> [0, 1, 2, 3, 7].
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first, last = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (1, 0)
        if last < first or last >= 2**63:
            raise InputError(f"{flag} {text!r}: give numbers such as 0-63 or 1,5,12-20")
        if len(seeds) + last - first >= 1_000_000:
            raise InputError(f"{flag} {text!r}: these are more than a million at once")
        seeds += range(first, last + 1)
    return seeds


def latents(G: nn.Module, seeds: Iterable[int]) -> Tensor:
    """One z per seed, float32 [N, z_dim] from N(0, 1), each from a generator of its own: z of a seed is always the same.

    A StyleGAN's z comes from NumPy's generator, as in the tools that its published weights came with: their face of seed 85
    is seed 85's face here.

    Raises:
        InputError: a seed of 2^32 or more for a StyleGAN, which NumPy's generator does not take.
    """
    seeds = list(seeds)
    if has_styles(G):
        _check_largest(seeds)
        z = np.stack([np.random.RandomState(seed).randn(G.z_dim) for seed in seeds])
        return torch.from_numpy(z.astype(np.float32))
    return torch.stack([torch.randn(G.z_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


def sample(
    G: nn.Module,
    seeds: Iterable[int],
    *,
    trunc: float = TRUNC,
    cutoff: int | None = None,
    labels: Labels | None = None,
    noise_mode: str = "const",
    batch: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """One face per seed. The face of a seed does not depend on the other seeds, nor on the state of any random generator.

    Args:
        G: a DCGAN, StyleGAN2 or StyleGAN3 generator, on any device; it is used in evaluation mode and left as it was.
        seeds: whole numbers from 0, one face each.
        trunc: psi of the truncation trick (Karras et al. 2019, arXiv:1812.04948, appendix B): w is moved towards the
            mean w until psi of the distance is left. 1 changes nothing, 0 gives the mean face N times; below 1 faces
            get more usual and less varied. StyleGAN only.
        cutoff: truncate only the first `cutoff` of the `num_ws` layers, the coarse ones. StyleGAN only.
        labels: of a network with classes: the class of all faces; one class per face; or a tensor or array, one-hot or of
            shares: floating [c_dim] for all faces, or [N, c_dim] of any type.
        noise_mode: StyleGAN2's noise inputs: "const" as stored in the network, "random" drawn anew from the face's seed,
            "none". Networks without noise inputs look the same in every mode.
        batch: faces at a time; follows from the picture's size where it is not given. "random" makes one at a time.
        dtype: torch.bfloat16 computes the layers in half precision, faster where the hardware has it.

    Returns:
        uint8 [N, 3, H, W] on the CPU.

    Raises:
        InputError: no seed or a bad one; truncation on a network without w; classes that the network does not have;
            an unknown noise mode; pictures that are neither grey nor coloured; or a network that gives NaN.
    """
    faces = sample_batches(G, seeds, trunc=trunc, cutoff=cutoff, labels=labels, noise_mode=noise_mode, batch=batch, dtype=dtype)
    return torch.cat(list(faces))


def sample_batches(
    G: nn.Module,
    seeds: Iterable[int],
    *,
    trunc: float = TRUNC,
    cutoff: int | None = None,
    labels: Labels | None = None,
    noise_mode: str = "const",
    batch: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Tensor]:
    """The faces of `sample`, batch by batch, each made when it is asked for: for more faces than fit into memory.

    Args and Raises: as for `sample`. All but NaN is refused at once, before the first batch.

    Yields:
        uint8 [n, 3, H, W] on the CPU, in the order of the seeds. Between the batches the network is left as it was.
    """
    seeds = _checked_seeds(seeds)
    _check_options(G, seeds, trunc, cutoff, noise_mode, batch)
    c = one_hot(G, labels, len(seeds))
    one_by_one = noise_mode == "random" and has_noise(G)
    batch = 1 if one_by_one else batch or usual_batch(G)
    device = next(G.parameters()).device

    def make(start: int) -> Tensor:
        part = seeds[start : start + batch]
        z = latents(G, part).to(device)
        c_here = None if c is None else c[start : start + batch].to(device)
        own_noise = _seeded((part[0] + NOISE_STREAM) % 2**63, device) if one_by_one else contextlib.nullcontext()
        with evaluating(G), torch.no_grad(), own_noise:
            return as_faces(_images(G, z, c_here, trunc, cutoff, noise_mode, dtype))

    def batches() -> Iterator[Tensor]:
        with tqdm(total=len(seeds), unit="face", disable=None) as bar:
            for start in range(0, len(seeds), batch):
                faces = make(start)
                bar.update(len(faces))
                yield faces

    return batches()


def _images(
    G: nn.Module, z: Tensor, c: Tensor | None, trunc: float, cutoff: int | None, noise_mode: str, dtype: torch.dtype
) -> Tensor:
    """z [N, z_dim] -> pictures [N, C, H, W] in about [-1, 1]."""
    if has_styles(G):
        return G(z, c, truncation_psi=trunc, truncation_cutoff=cutoff, noise_mode=noise_mode, dtype=dtype)
    with torch.autocast(z.device.type, dtype) if dtype != torch.float32 else contextlib.nullcontext():
        return G(z)


def usual_batch(G: nn.Module) -> int:
    """How many pictures to make at a time."""
    return max(1, min(BATCH_64, BATCH_64 * 64**2 // G.img_resolution**2))


def as_faces(images: Tensor) -> Tensor:
    """[N, 1 or 3, H, W] in [-1, 1] -> uint8 [N, 3, H, W] on the CPU."""
    if images.isnan().any():
        raise InputError("the network gives NaN: its weights are damaged, or its training diverged; use an earlier snapshot")
    return to_pixels(images).expand(-1, 3, -1, -1)


def _checked_seeds(seeds: Iterable[int]) -> list[int]:
    checked = []
    for seed in seeds:
        try:
            checked.append(operator.index(seed))  # also NumPy's whole numbers
        except TypeError:
            checked.append(-1)
        if not 0 <= checked[-1] < 2**63:
            raise InputError(f"sample: {seed!r} is not a seed: use whole numbers from 0")
    if not checked:
        raise InputError("sample: no seed given, so there is no face to make")
    return checked


def _check_largest(seeds: list[int]) -> None:
    if max(seeds) >= 2**32:
        raise InputError(f"seed {max(seeds)} is too large: a StyleGAN takes seeds below 2^32")


def check_channels(G: nn.Module) -> None:
    """Raises InputError for pictures that are neither grey nor coloured."""
    channels = getattr(G, "img_channels", 3)
    if channels not in (1, 3):
        raise InputError(f"this network makes pictures of {channels} channels: only 1 (grey) and 3 (colours) can be shown")


def check_trunc(trunc: float) -> None:
    """Raises InputError for a truncation that is no number."""
    if not math.isfinite(trunc):
        raise InputError(f"truncation must be a number, usually 0 to 1, got {trunc}")


def _check_options(
    G: nn.Module, seeds: list[int], trunc: float, cutoff: int | None, noise_mode: str, batch: int | None
) -> None:
    if not hasattr(G, "z_dim"):
        raise InputError("this network makes no pictures from seeds: it has no z (a CycleGAN translates pictures)")
    if has_styles(G):
        _check_largest(seeds)
    check_channels(G)
    check_trunc(trunc)
    if not has_styles(G) and (trunc != 1 or cutoff is not None):
        raise InputError("this network has no w to truncate (a DCGAN): leave the truncation at 1, without a cutoff")
    if cutoff is not None and not 0 <= cutoff <= G.num_ws:
        raise InputError(f"the truncation cutoff must be between 0 and this network's {G.num_ws} layers, got {cutoff}")
    if noise_mode not in NOISE_MODES:
        raise InputError(f"noise mode {noise_mode!r} is not known: choose one of {', '.join(NOISE_MODES)}")
    if batch is not None and batch < 1:
        raise InputError(f"sample: batch must be at least 1, got {batch}")


def one_hot(G: nn.Module, labels: Labels | None, count: int) -> Tensor | None:
    """The labels of `count` faces as the network takes them: float32 [count, c_dim], or None for one without classes.

    Args:
        labels: as for `sample`. Whole numbers along one axis are classes, one per face; along two axes they are one-hot.
    """
    classes = getattr(G, "c_dim", 0)
    if not classes:
        if labels is not None:
            raise InputError("this network has no classes: leave the class out")
        return None
    if labels is None:
        raise InputError(f"this network has {classes} classes: say which one, 0 to {classes - 1} (--class, or labels=)")
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "biuf":
        labels = torch.from_numpy(labels.astype({"b": np.bool_, "f": np.float32}.get(labels.dtype.kind, np.int64)))
    if isinstance(labels, Tensor) and (labels.ndim > 1 or (labels.ndim and labels.is_floating_point())):
        return _checked_one_hot(labels, count, classes)
    alone = isinstance(labels, str) or not isinstance(labels, Iterable) or getattr(labels, "ndim", 1) == 0
    indices = [_class(labels)] * count if alone else [_class(label) for label in labels]
    if len(indices) != count:
        raise InputError(f"{len(indices)} labels for {count} faces: give one for each, or one for all")
    for index in indices:
        if not 0 <= index < classes:
            raise InputError(f"class {index} does not exist: this network has {classes} classes, 0 to {classes - 1}")
    return nn.functional.one_hot(torch.tensor(indices), classes).float()


def _class(label: object) -> int:
    """The number of a class: Python's, NumPy's or a tensor's, but neither a truth value nor rounded."""
    if not isinstance(label, (bool, np.bool_)) and getattr(label, "dtype", None) != torch.bool:
        with contextlib.suppress(TypeError, ValueError):
            return operator.index(label)
    shown = " ".join(reprlib.repr(label).split())
    raise InputError(f"{shown} is not a class: classes are whole numbers from 0")


def _checked_one_hot(labels: Tensor, count: int, classes: int) -> Tensor:
    if labels.shape not in ((classes,), (count, classes)):
        raise InputError(f"labels must be [{classes}] or [{count}, {classes}], got {list(labels.shape)}")
    whole, shares = not labels.is_floating_point(), labels.float()
    one_each = ((shares == 0) | (shares == 1)).all() and (shares.sum(dim=-1) == 1).all()
    if not shares.isfinite().all() or (whole and not one_each):
        raise InputError("labels along two axes must be one-hot: in each row a single 1 and zeros, or finite numbers")
    return shares.expand(count, classes)


@contextlib.contextmanager
def evaluating(G: nn.Module) -> Iterator[None]:
    """Evaluation mode: in training mode a DCGAN's batch norm would mix the faces of a batch."""
    modes = [(module, module.training) for module in G.modules()]
    G.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """PyTorch's own generators start from `seed` inside, and go on outside as if nothing had happened."""
    before = torch.get_rng_state()
    on_device = None
    if device.type == "cuda":
        on_device = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        on_device = torch.mps.get_rng_state()
    # Not torch.manual_seed, which also seeds every other device's generator.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)
        if device.type == "cuda":
            torch.cuda.set_rng_state(on_device, device)
        elif device.type == "mps":
            torch.mps.set_rng_state(on_device)


# ------------------------------------------------------------------------------------------- moving the picture


def transform(translate: tuple[float, float] = (0.0, 0.0), rotate: float = 0.0) -> Tensor:
    """The matrix for `G.synthesis.input.transform` of a StyleGAN3 that moves the whole picture.

    StyleGAN3's input is a function of continuous coordinates, Fourier features (Karras et al. 2021, arXiv:2106.12423,
    section 3), and its layers keep to them, so that moving the coordinates moves the picture with every detail, also by
    parts of a pixel; StyleGAN3-R does the same for turning. The picture at point p shows what the unmoved one shows at
    the inverse image of p, so this is the inverse of the motion.

    Args:
        translate: to the right and downwards, in picture widths.
        rotate: degrees counter-clockwise around the picture's centre, before the translation.

    Returns:
        float32 [3, 3], in homogeneous coordinates (x to the right, y downwards, 1), the origin in the centre.
    """
    x, y = translate
    if not all(math.isfinite(number) for number in (x, y, rotate)):
        raise InputError(f"translation and rotation must be numbers, got {x}, {y} and {rotate}")
    cos, sin = math.cos(math.radians(rotate)), math.sin(math.radians(rotate))
    # With y downwards, counter-clockwise by a is [[cos a, sin a], [-sin a, cos a]]; this is its inverse, times -(x, y).
    turned_back = [[cos, -sin, -(cos * x - sin * y)], [sin, cos, -(sin * x + cos * y)], [0.0, 0.0, 1.0]]
    return torch.tensor(turned_back, dtype=torch.float32)


@contextlib.contextmanager
def moved(G: nn.Module, translate: tuple[float, float] | None = None, rotate: float | None = None) -> Iterator[nn.Module]:
    """Inside the block, a StyleGAN3 generator makes pictures moved and turned as `transform` says; without either as ever.

        with moved(G, translate=(0.1, 0)):
            faces = sample(G, range(8))

    Raises:
        InputError: another kind of network, whose input cannot be moved.
    """
    if translate is None and rotate is None:
        yield G
        return
    if not can_move(G):
        raise InputError("only a StyleGAN3 network can translate or rotate its pictures: this one draws on a fixed grid")
    matrix = G.synthesis.input.transform
    before = matrix.detach().clone()
    with torch.no_grad():
        matrix.copy_(transform(translate or (0.0, 0.0), rotate or 0.0))
    try:
        yield G
    finally:
        with torch.no_grad():
            matrix.copy_(before)

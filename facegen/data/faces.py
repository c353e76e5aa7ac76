"""Where the faces are in photographs, and the square around a face that FFHQ would show.

find_faces(faces.images).landmarks  # [N, 5, 2], NaN where there is no face
framed(image, landmarks, 256)  # the face as a picture of its own

The detector is the cascade of Zhang, Zhang, Li and Qiao 2016 (MTCNN): a small network looks at every place and size, two
larger ones look again at what it liked, and the last one gives five landmarks. Its weights (2 MB) come inside the package
facenet-pytorch 2.5.3 (MIT licence), so nothing is downloaded.

Landmarks are (x, y) in pixels from the picture's upper left corner, x to the right and y down, a pixel being one unit wide,
of the eye on the picture's left, the eye on its right, the nose tip, and the mouth's left and right corner.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from tqdm.auto import tqdm

from facegen.data.pictures import MAX_ENLARGE, Decoded, Note, Row, Source, Unusable, decode, in_order
from facegen.files import InputError

T = TypeVar("T")
Face = tuple[Tensor, float, int]
"""Landmarks [5, 2], how sure the detector is (0 to 1), and how many faces there are in the picture."""

EYES_TO_MOUTH = 10 / 9
"""Eye-to-mouth distance of a typical frontal face in eye-to-eye distances: the 4.0 : 3.6 of the crop that made CelebA-HQ
and FFHQ (Karras, Aila, Laine and Lehtinen 2018, appendix C)."""

SURE = 0.9
"""Probability from which something counts as a face beside others. Less sure ones, from 0.7 on, count where there is none."""

SMALLEST = 0.08
"""Side of the smallest face that is looked for, as a share of the picture's shorter side."""

WORK_SIDE = 256  # shorter side of the pictures that are searched: faces down to 20 pixels, which the networks need
LONGEST = 6  # longest side of what is searched, in shorter ones: longer pictures are squeezed, and hold no face worth finding
Thresholds = tuple[float, float, float]
THRESHOLDS: Thresholds = (0.6, 0.7, 0.7)  # least probability after each of the three networks, as published
_MIRRORED = 0.25  # from this share of mirror image on the report says so
_SEARCHING = Lock()  # threads decode side by side, but a search takes all cores by itself
NO_FACE = "no face found"
NEAR_BORDER = ("face near the border", "square filled with the mirror image")


# ---------------------------------------------------------------------------------------------------------- finding


@dataclass(frozen=True, eq=False)
class FoundFaces:
    """The largest face of each picture.

    landmarks: float32 [N, 5, 2] on the CPU, in the order and units that the module says; NaN where there is no face.
    probability: float32 [N], how sure the detector is; 0 where there is no face.
    count: int64 [N], faces in the picture.
    """

    landmarks: Tensor
    probability: Tensor
    count: Tensor

    @property
    def found(self) -> Tensor:
        """bool [N]: where there is a face."""
        return self.count > 0


def find_faces(images: Tensor, *, progress: bool = False) -> FoundFaces:
    """Find the largest face of each picture and its five landmarks.

    Pictures are searched at a shorter side of 256 pixels, whatever their own: small ones are enlarged, large ones shrunk.
    Upright faces are found, and such as are tilted by up to about 40 degrees.

    Args:
        images: uint8 [N, 3, H, W]; a search runs on their device where that is CUDA, else on the CPU.
        progress: show a bar.

    Raises:
        InputError: the pictures are of another type or shape, or the package facenet-pytorch is missing.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape[2:]:
        raise InputError(f"pictures are {images.dtype} {list(images.shape)}: they must be uint8 [N, 3, H, W]")
    device = images.device if images.device.type == "cuda" else torch.device("cpu")
    bar = tqdm(images, desc="Finding faces", unit="img", disable=None if progress else True)
    found = [_search(image[None].to(device)) for image in bar]
    nowhere = torch.full((5, 2), math.nan)
    landmarks = [nowhere if face is None else face[0] for face in found]
    return FoundFaces(
        torch.stack(landmarks).float() if found else torch.empty(0, 5, 2),
        torch.tensor([0.0 if face is None else face[1] for face in found]),
        torch.tensor([0 if face is None else face[2] for face in found], dtype=torch.int64),
    )


def search_picture(
    image: Image.Image, side: int = WORK_SIDE, smallest: float = SMALLEST, least: Thresholds = THRESHOLDS
) -> Face | None:
    """The largest face of one picture, searched at another size than `find_faces` does.

    Args:
        image: mode "RGB", any size.
        side: shorter side of the picture that is searched, in pixels.
        smallest: side of the smallest face that is looked for, as a share of the picture's shorter side; the detector
            needs 20 pixels of `side`.
        least: probabilities that are needed after each of the three networks.

    Returns:
        Landmarks [5, 2] in the picture's pixels, how sure the detector is, and how many faces there are; or None.
    """
    height, width = _work_size(image.height, image.width, side)
    small = np.array(image.resize((width, height), Image.Resampling.BILINEAR))
    face = _search(torch.from_numpy(small).permute(2, 0, 1)[None], side, smallest, least)
    return face and (face[0] * torch.tensor([image.width / width, image.height / height]), *face[1:])


@torch.no_grad()
def _search(image: Tensor, side: int = WORK_SIDE, smallest: float = SMALLEST, least: Thresholds = THRESHOLDS) -> Face | None:
    """The largest face of one picture, uint8 [1, 3, H, W]."""
    height, width = image.shape[2:]
    image, networks = _at_work_size(image.float(), side), _networks(image.device)
    with _SEARCHING:
        boxes, chances = _cascade(image, networks, smallest, least)
    if not len(boxes):
        return None
    sure = (chances >= SURE).nonzero().flatten()
    sides = boxes[sure, 2] - boxes[sure, 0]
    best = int(sure[sides.argmax()]) if len(sure) else int(chances.argmax())
    points = _landmarks(image, boxes[best : best + 1], networks[2]).cpu()
    points *= torch.tensor([width / image.shape[3], height / image.shape[2]])
    return points, float(chances[best]), max(1, len(sure))


def _at_work_size(images: Tensor, side: int = WORK_SIDE) -> Tensor:
    """Pictures with a shorter side of `side` pixels, free of aliasing; 0 to 255 as before."""
    height, width = images.shape[2:]
    size = _work_size(height, width, side)
    if size == (height, width):
        return images
    return F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)


def _work_size(height: int, width: int, shorter: int = WORK_SIDE) -> tuple[int, int]:
    zoom = shorter / min(height, width)
    return tuple(min(LONGEST * shorter, max(shorter, round(side * zoom))) for side in (height, width))


@functools.lru_cache(maxsize=4)
def _networks(device: torch.device) -> tuple[nn.Module, nn.Module, nn.Module]:
    """The three networks of the cascade, with the weights that lie in facenet-pytorch's folder.

    They are built empty and filled here, because that package's own loader trusts its files in older PyTorch versions.
    """
    spec = find_spec("facenet_pytorch")
    if spec is None or spec.origin is None:
        raise InputError("finding faces in photographs needs facenet-pytorch: pip install facenet-pytorch==2.5.3")
    from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

    networks = []
    for kind in (PNet, RNet, ONet):
        file = Path(spec.origin).parent / "data" / f"{kind.__name__.lower()}.pt"
        network = kind(pretrained=False)
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        networks.append(network.eval().requires_grad_(False).to(device))
    return tuple(networks)


def _cascade(
    image: Tensor, networks: tuple[nn.Module, nn.Module, nn.Module], smallest: float, least: Thresholds
) -> tuple[Tensor, Tensor]:
    """Faces in a picture, float [1, 3, H, W] in 0..255: square boxes [F, 4] and probabilities [F].

    Boxes are left, top, right and bottom edges in pixels. They are those that the third network was shown, not its
    corrections of them: the landmarks are measured in these.
    """
    from torchvision.ops import nms

    first, second, third = networks
    pixels = (image - 127.5) / 128
    boxes, chances = _proposals(pixels, first, smallest, least[0])
    boxes = boxes[nms(boxes, chances, 0.7)]
    if len(boxes):
        shifts, chances = _in_parts(second, _crops(pixels, boxes, 24))
        keep = (chances[:, 1] > least[1]).nonzero().flatten()
        keep = keep[nms(boxes[keep], chances[keep, 1], 0.7)]
        boxes = _squares(_moved(boxes[keep], shifts[keep]))
    if not len(boxes):
        return boxes, boxes.new_empty(0)
    shifts, _, chances = _in_parts(third, _crops(pixels, boxes, 48))
    keep = (chances[:, 1] > least[2]).nonzero().flatten()
    boxes, chances = _squares(_moved(boxes[keep], shifts[keep])), chances[keep, 1]
    keep = _apart(boxes, chances)
    return boxes[keep], chances[keep]


def _proposals(pixels: Tensor, network: nn.Module, smallest: float, least: float) -> tuple[Tensor, Tensor]:
    """The first network over a pyramid of sizes; it sees 12 x 12 pixels at a time, every second pixel."""
    from torchvision.ops import nms

    height, width = pixels.shape[2:]
    zoom = 12 / (smallest * min(height, width))
    found = []
    while min(height, width) * zoom >= 12:
        size = [math.floor(side * zoom + 1) for side in (height, width)]
        shifts, chances = (values[0] for values in network(F.interpolate(pixels, size=size, mode="area")))
        row, column = (chances[1] >= least).nonzero().unbind(1)
        corner = 2.0 * torch.stack([column, row], 1)
        boxes = torch.cat([corner, corner + 12], 1) / zoom
        likely = chances[1, row, column]
        keep = nms(boxes, likely, 0.5)
        found.append((_squares(_moved(boxes, shifts[:, row, column].T))[keep], likely[keep]))
        zoom *= 0.709
    return tuple(torch.cat(parts) for parts in zip(*found))


def _in_parts(network: nn.Module, crops: Tensor) -> tuple[Tensor, ...]:
    """A network's outputs for any number of crops, in little memory."""
    return tuple(torch.cat(parts) for parts in zip(*(network(part) for part in crops.split(512))))


def _crops(pixels: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Boxes as pictures [F, 3, side, side], averaged over each new pixel; what lies outside the picture is black."""
    from torchvision.ops import roi_align

    return roi_align(pixels + 1, [boxes], side, sampling_ratio=-1, aligned=True) - 1


def _moved(boxes: Tensor, shifts: Tensor) -> Tensor:
    """Boxes whose edges are moved by shares of their sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + shifts * torch.cat([sides, sides], 1)


def _squares(boxes: Tensor) -> Tensor:
    """The smallest squares with the boxes' centres that hold the boxes."""
    centre, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    half = sides.amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], 1)


def _apart(boxes: Tensor, chances: Tensor) -> Tensor:
    """The likeliest of boxes that overlap by more than 0.7 of the smaller one, or lie in each other."""
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    keep: list[int] = []
    for i in chances.argsort(descending=True, stable=True).tolist():
        low, high = torch.maximum(boxes[keep, :2], boxes[i, :2]), torch.minimum(boxes[keep, 2:], boxes[i, 2:])
        common = (high - low).clamp(min=0).prod(1)
        if not bool((common > 0.7 * torch.minimum(areas[keep], areas[i])).any()):
            keep.append(i)
    return torch.tensor(keep, dtype=torch.int64, device=boxes.device)


def _landmarks(pixels: Tensor, box: Tensor, network: nn.Module) -> Tensor:
    """The five landmarks [5, 2] of the face in a box [1, 4] of one picture [1, 3, H, W] in 0..255.

    The third network looks at the face and at its mirror image: what it has learnt of left and right cancels out.
    """
    crop = _crops((pixels - 127.5) / 128, box, 48)
    seen = network(torch.cat([crop, crop.flip(3)]))[1].view(2, 2, 5).transpose(1, 2)  # [2, 5, 2] in shares of the box
    turned = seen[1, [1, 0, 2, 4, 3]] * seen.new_tensor([-1, 1]) + seen.new_tensor([1, 0])
    return box[0, :2] + (seen[0] + turned) / 2 * (box[0, 2:] - box[0, :2])


# ---------------------------------------------------------------------------------------------------------- framing


def framed(image: Image.Image, landmarks: np.ndarray | Tensor, size: int, zoom: float = 1.0) -> tuple[Image.Image, list[Note]]:
    """The square around a face that FFHQ would have, as a picture of its own: one rotation, shift and zoom, no distortion.

    The square's side is 4 eye-to-eye or 3.6 eye-to-mouth distances, whichever is more; its middle lies a tenth of the
    eye-to-mouth distance below the eyes; and it is turned to the mean of the eyes' direction and the perpendicular to
    the line from eyes to mouth (Karras, Aila, Laine and Lehtinen 2018, appendix C). What lies outside the picture is its
    mirror image at the border. Each new pixel is the mean of as many bicubic samples as shrinking needs.

    Args:
        image: mode "RGB", any size.
        landmarks: [5, 2], in the order and units that the module says; or [3, 2]: the eye on the picture's left, the
            eye on its right and the middle of the mouth.
        size: side of the result in pixels.
        zoom: above 1 for a square so many times smaller, about the same middle.

    Returns:
        The picture and what should be said about it.

    Raises:
        InputError: `landmarks` has another shape, or a number in it is not finite.
        Unusable: the face would have to be enlarged more than `MAX_ENLARGE` times, or its landmarks lie in one place.
    """
    corner, across = square(landmarks, zoom)
    down = np.array([-across[1], across[0]])
    side = float(np.hypot(*across))
    if not side > 0:
        raise Unusable("the landmarks of its face lie in one place")
    if side * MAX_ENLARGE < size:
        raise Unusable(f"face too small (its square has {side:.0f} pixels)")
    notes = []
    if side < size * 0.99:
        notes.append(("face smaller than wanted", f"enlarged to {size}x{size}"))
    corners = corners_of(corner, across)
    low = np.floor(corners.min(0)).astype(int) - 3  # bicubic interpolation reaches two pixels further
    high = np.ceil(corners.max(0)).astype(int) + 3
    columns, rows = (_mirrored(np.arange(low[i], high[i]), image.size[i]) for i in (0, 1))
    patch = Image.fromarray(np.asarray(image)[rows[:, None], columns])
    if _outside(corner, across, down, image.size) >= _MIRRORED:
        notes.append(NEAR_BORDER)
    points = max(1, math.ceil(side / size - 0.02))
    a, b = across / (size * points), down / (size * points)
    start = corner - low
    result = patch.transform(
        (size * points, size * points),
        Image.Transform.AFFINE,
        (a[0], b[0], start[0], a[1], b[1], start[1]),
        Image.Resampling.BICUBIC,
    )
    return result.reduce(points) if points > 1 else result, notes


def square(landmarks: np.ndarray | Tensor, zoom: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """FFHQ's square for the landmarks of `framed`: its upper left corner [2] and its upper edge [2] as a vector, in pixels."""
    landmarks = np.asarray(landmarks, dtype=np.float64)
    if landmarks.shape not in ((5, 2), (3, 2)) or not np.isfinite(landmarks).all():
        raise InputError(f"landmarks of shape {list(landmarks.shape)}: give five or three points (x, y), all of them finite")
    eyes, mouth = landmarks[:2].mean(0), landmarks[3 if len(landmarks) == 5 else 2 :].mean(0)
    between, below = landmarks[1] - landmarks[0], mouth - eyes
    axis = between + np.array([below[1], -below[0]])  # below, turned by 90 degrees, points along the eyes
    length = np.hypot(*axis)
    side = 3.6 / zoom * max(np.hypot(*below), EYES_TO_MOUTH * np.hypot(*between))
    across = axis * (side / length) if length else np.zeros(2)
    down = np.array([-across[1], across[0]])
    return eyes + 0.1 * below - (across + down) / 2, across


def corners_of(corner: np.ndarray, across: np.ndarray) -> np.ndarray:
    """The four corners [4, 2] of a square as `square` gives it, clockwise from the upper left one."""
    down = np.array([-across[1], across[0]])
    return np.stack([corner, corner + across, corner + across + down, corner + down])


def _mirrored(places: np.ndarray, n: int) -> np.ndarray:
    """Indices into 0..n-1 for places outside too, as in a picture between mirrors."""
    places = places % (2 * n)
    return np.minimum(places, 2 * n - 1 - places)


def _outside(corner: np.ndarray, across: np.ndarray, down: np.ndarray, size: tuple[int, int]) -> float:
    """The share of a square that lies outside a picture of (width, height), from 32 x 32 points."""
    steps = (np.arange(32) + 0.5) / 32
    points = corner + steps[:, None, None] * across + steps[None, :, None] * down
    return float(((points < 0) | (points >= size)).any(2).mean())


def frame_all(
    source: Source,
    names: Iterable[str],
    size: int,
    zoom: float,
    finish: Callable[[Image.Image, int], T],
    find: Callable[[str, Image.Image], Face | None] = lambda name, image: search_picture(image),
) -> Iterator[Decoded]:
    """Find the largest face of every picture and frame it, in the order of `names`, on all cores.

    Args:
        source: where the pictures are.
        names: which of them.
        size, zoom: as for `framed`.
        finish: called in a worker thread with the framed picture and the number of faces that were found; its result is
            `Decoded.value`.
        find: called before that with the file's name and the whole picture; the face that it returns is framed.
    """
    _networks(torch.device("cpu"))  # a missing package is said at once, not by a thread

    def one(name: str) -> Decoded:
        try:
            image, notes = decode(source.read(name))
            face = find(name, image)
            if face is None:
                raise Unusable(NO_FACE)
            if face[2] > 1:
                notes.append((f"{face[2]} faces", "the largest taken"))
            image, more = framed(image, face[0], size, zoom)
        except Unusable as error:
            return Decoded(name, None, Row(name, str(error), "left out", False))
        notes += more
        row = Row(name, "; ".join(n[0] for n in notes), "; ".join(n[1] for n in notes), True) if notes else None
        return Decoded(name, finish(image, face[2]), row)

    return in_order(one, names)


def safe_name(origin: str, suffix: str, taken: set[str], *, folders: bool = False) -> str:
    """A free name like the origin's, without what a file system may refuse; adds it to `taken`.

    Args:
        origin: a path inside a folder or zip.
        suffix: of the new name, with its dot.
        taken: names that are not free, in lower case and without suffixes.
        folders: keep the origin's folders, with "/"; else only its own name.
    """
    path = PurePosixPath(origin.replace("\\", "/"))
    parts = [_safe_part(part) for part in (*path.parts[:-1], path.stem)]
    stem = "/".join(parts) if folders else parts[-1]
    name, number = stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name.casefold())
    return name + suffix


def _safe_part(part: str) -> str:
    part = re.sub(r"[^\w.\- ]", "_", part)[:80]
    part = part.encode()[:200].decode(errors="ignore").strip(" .") or "picture"  # names have at most 255 bytes
    # Windows takes these for devices, whatever their suffix.
    return f"_{part}" if re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d) *(\..*)?", part, re.IGNORECASE) else part


def check_zoom(zoom: float) -> float:
    """`zoom`, if faces can be framed so."""
    if not 0.5 <= zoom <= 3:
        raise InputError(f"zoom {zoom:g} is out of range: give 0.5 to 3, where 1 frames faces as FFHQ does")
    return zoom

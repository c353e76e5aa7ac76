"""Two sets of pictures without pairs, for CycleGAN: packed in memory, and the order in which they are used.

faces = load_unpaired("data/face2fake", load_size=143, image_size=128)
real_A, real_B = faces.batch(4, step=0)  # float32 [4, 3, 128, 128] each
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from facegen.data.drawn import drawn
from facegen.data.framing import Framing, measure_framing, move_all
from facegen.data.packed import Faces, batch_indices, content_hash, drawn_count, load_faces, mirror_flags
from facegen.data.pictures import Row, Source
from facegen.files import InputError

# Added to the seed for domain B. No run has a seed that large, so B's order, crops and flips are like those of no run's A.
# With one order for both, equally large domains would show the same two pictures together in every epoch: pairs.
OWN_STREAM = 1 << 63
DRAWN_B = 1 << 32  # index of domain B's first drawn face: nobody is in both domains


# -------------------------------------------------------------------------------------------------- the data in use


@dataclass(frozen=True, eq=False)
class Unpaired:
    """Two domains ready for training: what `Faces` is for one.

    Attributes:
        A, B: the pictures, all of one size, the load size.
        image_size: side of the random crops that the networks see; None for the load size, which is no crop at all.
        test_A, test_B: pictures that are not trained on, at `image_size`; None where there are none.
        name: of the whole, for messages and records.

    Raises:
        InputError: a domain with fewer than two pictures, domains of different sizes, or pictures below `image_size`.
    """

    A: Faces
    B: Faces
    image_size: int | None = None
    test_A: Faces | None = None
    test_B: Faces | None = None
    name: str = "unpaired"

    def __post_init__(self) -> None:
        for letter, faces in (("A", self.A), ("B", self.B)):
            if len(faces) < 2:
                raise InputError(
                    f"{self.name}: domain {letter} ({faces.name}) has {len(faces) or 'no'} picture{'s' * (not len(faces))}: "
                    "give at least 2, and hundreds to learn anything"
                )
        sizes = [tuple(faces.images.shape[2:]) for faces in (self.A, self.B)]
        if sizes[0] != sizes[1]:
            shown = " and ".join(f"{width}x{height}" for height, width in sizes)
            raise InputError(f"{self.name}: the pictures of A and B are {shown}: load both at one size")
        if self.image_size is None:
            object.__setattr__(self, "image_size", min(sizes[0]))
        _check_crop(self.image_size, min(sizes[0]), self.name)

    def __len__(self) -> int:
        """Pictures of each domain in an epoch: as many as the larger domain has."""
        return max(len(self.A), len(self.B))

    @property
    def content_hash(self) -> str:
        """sha256 over the hashes of A, B and, where there are some, the test pictures: equal hashes are equal data."""
        sets = (self.A, self.B, self.test_A, self.test_B)
        return hashlib.sha256(" ".join(faces.content_hash for faces in sets if faces is not None).encode()).hexdigest()

    @property
    def report(self) -> tuple[Row, ...]:
        """What was wrong with single files of either domain, as rows for `facegen.data.pictures.table`."""
        return tuple(
            dataclasses.replace(row, file=f"{faces.name}/{row.file}") for faces in (self.A, self.B) for row in faces.report
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """Whole batches in an epoch, at least 1."""
        return max(1, len(self) // batch_size)

    def to(self, device: torch.device | str) -> Unpaired:
        """The same data for use on `device`; each domain's pixels move there if they take at most half of its free memory."""
        return dataclasses.replace(self, A=self.A.to(device), B=self.B.to(device))

    def batch(self, batch_size: int, step: int, *, seed: int = 0, mirror: bool = True) -> tuple[Tensor, Tensor]:
        """The pictures of one step: a pure function of its arguments, so that a resumed run needs to know only the step.

        Either domain goes through permutations of its own, a new one whenever all its pictures have been used, over the
        borders of epochs and batches: no picture of either domain is used more often than another, and which A stands
        beside which B changes every time.

        Args:
            batch_size: pictures of each domain.
            step: 0, 1, 2, ...
            seed: of the orders, crops and flips, 0 to 2**63 - 1.
            mirror: flip every picture left to right with probability 1/2.

        Returns:
            real_A and real_B, float32 [batch_size, 3, image_size, image_size] in [-1, 1], on the device given to `to`.
        """
        streams = ((self.A, seed), (self.B, seed + OWN_STREAM))
        real_A, real_B = (self._crops(faces, batch_size, step, stream, mirror) for faces, stream in streams)
        return real_A, real_B

    def _crops(self, faces: Faces, batch_size: int, step: int, seed: int, mirror: bool) -> Tensor:
        flips = mirror_flags(batch_size, step, seed) if mirror else None
        pictures = faces.batch(batch_indices(len(faces), batch_size, step, seed), flips)  # [B, 3, L, L]
        size, (height, width) = self.image_size, pictures.shape[2:]
        if height == width == size:
            return pictures
        corners = crop_offsets(batch_size, (height - size, width - size), step, seed).tolist()
        return torch.stack([p[:, y : y + size, x : x + size] for p, (y, x) in zip(pictures, corners)])


def crop_offsets(batch_size: int, margin: tuple[int, int], step: int, seed: int) -> Tensor:
    """Where the crops of a step's batch begin: int64 [batch_size, 2], rows and columns from the upper left corner.

    A pure function of its arguments, like `batch_indices`, and independent of it and of `mirror_flags`.

    Args:
        batch_size: at least 1.
        margin: the largest row and the largest column, both possible: the picture's sides minus the crop's.
        step: 0, 1, 2, ...
        seed: >= 0.
    """
    corners = np.random.default_rng([2, seed, step]).integers(0, margin, (batch_size, 2), dtype=np.int64, endpoint=True)
    return torch.from_numpy(corners)


def _check_crop(image_size: int, load_size: int, name: str) -> None:
    if image_size < 4:
        raise InputError(f"{name}: image_size={image_size} is too small: give at least 4 pixels")
    if load_size < image_size:
        raise InputError(
            f"{name}: crops of {image_size} pixels cannot be cut from pictures of {load_size}: "
            f"load them at {image_size} or more, or take a smaller image_size"
        )


# ------------------------------------------------------------------------------------------------------ loading


def load_unpaired(
    root: str | Path,
    load_size: int = 143,
    image_size: int = 128,
    *,
    max_images: int | None = None,
    transform: str | None = "center-crop",
    seed: int = 0,
    cache: bool = True,
) -> Unpaired:
    """Load a folder with trainA and trainB, and testA and testB where they are there and not empty.

    The training pictures are loaded at `load_size`, for random crops; the test pictures, whole, at `image_size`.

    Args:
        root: the folder; `facegen.data.prepare` writes such folders, and every published CycleGAN data set is one. Or
            "drawn:N" for N drawn faces in each domain, those of B uncanny, and a tenth as many for the tests.
        load_size, image_size: sides in pixels, 4 to 4096; `image_size` at most `load_size`.
        max_images: take only the first so many usable pictures of each folder.
        transform: "center-crop" takes the largest centred square of a picture; None stretches it all, as the published
            training code does.
        seed: of drawn faces.
        cache: as for `load_faces`.
    """
    _check_crop(image_size, load_size, str(root))
    count = drawn_count(root, 1000)
    if count is not None:
        return drawn_unpaired(min(count, max_images or count), load_size, image_size, seed=seed)
    root = Path(root).expanduser()
    if not root.is_dir():
        what = "is a file: unpack it and give" if root.is_file() else "does not exist: give"
        raise InputError(f"{root} {what} the folder that holds trainA and trainB, or drawn:N")
    for name in ("trainA", "trainB"):
        if not (root / name).is_dir():
            raise InputError(f"{root} has no folder {name}: put the pictures of domain {name[-1]} into {root / name}")

    def load(name: str, size: int) -> Faces:
        return load_faces(root / name, size, max_images=max_images, transform=transform, cache=cache)

    tests = [load(name, image_size) if _has_files(root / name) else None for name in ("testA", "testB")]
    return Unpaired(load("trainA", load_size), load("trainB", load_size), image_size, *tests, name=root.resolve().name)


def _has_files(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    with Source(folder) as source:
        return bool(source.names)


def drawn_unpaired(
    count: int, load_size: int, image_size: int, *, test: int | None = None, seed: int = 0, uncanny: float = 1.0
) -> Unpaired:
    """Drawn faces as two domains: A clean, B other people with planted faults; landmarks and identities are known.

    Args:
        count: training faces of each domain.
        load_size, image_size: as for `load_unpaired`; drawn faces have at least 16 pixels.
        test: test faces of each domain, who are in no training set; None for a tenth of `count`, at least 2.
        seed: of the faces.
        uncanny: the share of B's faces with faults; 0 gives two domains that differ in nothing.

    Raises:
        InputError: an argument out of its range.
    """
    test = max(2, count // 10) if test is None else test
    _check_crop(image_size, load_size, "drawn faces")

    def domain(letter: str, n: int, size: int, start: int) -> Faces:
        share = uncanny if letter == "B" else 0.0
        faces = drawn(n, size, seed, start=start + (DRAWN_B if letter == "B" else 0), uncanny=share)
        name = f"drawn {letter}"
        return Faces(faces.images, None, name, content_hash(faces.images), faces.attributes, faces.landmarks, faces.identity)

    train = [domain(letter, count, load_size, 0) for letter in "AB"]
    held = [domain(letter, test, image_size, count) if test else None for letter in "AB"]
    return Unpaired(*train, image_size, *held, name="drawn")


# ------------------------------------------------------------------------------------------------------ reframing


def reframed(data: Unpaired, *, target: Framing | None = None, most: int = 200, seed: int = 0) -> Unpaired:
    """The same pictures with both domains framed alike: one zoom, turn and shift for all pictures of a domain.

    A domain's medians become the target's, and the variety within it stays. Without a target the domain whose faces are
    larger is left as it is and the other one becomes like it: the other way round would fill pictures with mirror images.
    Test pictures are moved as their domain is. Pictures read from files lose sharpness if they are enlarged:
    `facegen.data.prepare` works from their full size.

    Args:
        data: two domains.
        target: where to move both domains.
        most, seed: of the search for faces where no landmarks are known (`measure_framing`).

    Raises:
        InputError: no face was found in the pictures of a domain, or the package facenet-pytorch is missing.
    """
    a, b = (measure_framing(faces, most, seed) for faces in (data.A, data.B))
    goal = target or (a if a.scale.median >= b.scale.median else b)

    def move(faces: Faces | None, measured: Framing) -> Faces | None:
        if faces is None or measured is goal:
            return faces
        images, landmarks = move_all(faces.images, faces.landmarks, measured, goal)
        return dataclasses.replace(faces, images=images, landmarks=landmarks, content_hash=content_hash(images.cpu()))

    moved = {"A": move(data.A, a), "B": move(data.B, b), "test_A": move(data.test_A, a), "test_B": move(data.test_B, b)}
    return dataclasses.replace(data, **moved)

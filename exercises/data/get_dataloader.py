"""get_dataloader(batch_size, image_size, data_dir): batches (images [B, 3, S, S] in [0, 1], labels), reshuffled."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler
from torchvision import datasets, transforms
from torchvision.transforms import functional as TF

from exercises.base import Exercise
from exercises.judging import between, kind_of, require, shape, tensor
from exercises.probing import Answer, Case, plain
from facegen.data import get_dataloader

CLASSES = ["ada"] * 4 + ["bo"] * 4 + ["cy"] * 5
# What tells the pictures apart; the first twelve are in colour, with red > green > blue, so that a swapped order shows.
COLOURS = [[r, g, b] for r in (150, 200, 250) for g in (60, 120) for b in (0, 40)] + [[255, 255, 255]]
MODES = {3: "RGBA", 8: "RGBA", 12: "L"}


def cases(g: torch.Generator) -> list[Case]:
    """Each with a folder of pictures: class, width, height, colour, mode of the file."""
    found = []
    for batch_size, image_size in ((between(2, 4, g), 2 * between(10, 16, g) + 1), (5, 64)):
        pictures = []
        for number, (label, colour) in enumerate(zip(CLASSES, COLOURS)):
            short = 2 * between(17, 30, g)
            sides = [short, short + (2 * between(7, 17, g) if number % 3 else 0)]
            pictures.append([label, *(sides if number % 2 else reversed(sides)), colour, MODES.get(number, "RGB")])
        found.append({"batch_size": batch_size, "image_size": image_size, "pictures": pictures})
    return found


def drawn(width: int, height: int, colour: list[int], mode: str) -> Image.Image:
    """A disc in the middle of an almost black picture, one half darker, with soft edges that survive resizing."""
    picture, radius = Image.new("RGB", (width, height), (12, 12, 12)), 0.35 * min(width, height)
    box = (width / 2 - radius, height / 2 - radius, width / 2 + radius, height / 2 + radius)
    for start, brightness in ((180, 3), (0, 2)) if mode != "L" else ((180, 2), (0, 3)):  # so that no colour turns into it
        ImageDraw.Draw(picture).pieslice(box, start, start + 180, fill=tuple(c * brightness // 3 for c in colour))
    return picture.filter(ImageFilter.GaussianBlur(0.12 * min(width, height))).convert(mode)


def probe(get_dataloader: Callable, case: Case) -> Answer:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for number, (label, *picture) in enumerate(case["pictures"]):
            path = Path(folder, label, f"{number:02}.png")
            path.parent.mkdir(exist_ok=True)
            drawn(*picture).save(path)
        loader = get_dataloader(case["batch_size"], case["image_size"], folder)
        if loader is None:
            return {"epochs": None}
        most = 2 * len(case["pictures"])  # of a loader that has no end
        return {"epochs": [[plain(batch) for batch in itertools.islice(loader, most)] for _ in range(3)]}


# -- what became of a picture


def square(picture: Image.Image, size: int) -> Tensor:
    return TF.to_tensor(TF.center_crop(TF.resize(picture, size), size))


def letterbox(picture: Image.Image, size: int, aside: int = 0) -> Tensor:
    """The whole picture, with NaN for a border of any colour: asked for is the square, but this distorts nothing either."""
    width, height = (round(size * side / max(picture.size)) for side in picture.size)
    top, left = (size - height + aside) // 2, (size - width + aside) // 2
    whole = torch.full((3, size, size), torch.nan)
    inner = TF.to_tensor(picture.resize((width, height)))[:, 1:-1, 1:-1]  # its edges may lie a pixel aside
    whole[:, top + 1 : top + height - 1, left + 1 : left + width - 1] = inner
    return whole


RIGHT = (square, letterbox, partial(letterbox, aside=1))
WRONG: dict[str, Callable[[Image.Image, int], Tensor]] = {
    "a picture is distorted: Resize((S, S)) squeezes, resize the short side only and crop to a square": lambda p, s: (
        TF.to_tensor(TF.resize(p, (s, s)))
    ),
    "a picture is cut out of its file at full size, and lost too much or got a black border: resize before the crop": (
        lambda p, s: TF.to_tensor(TF.center_crop(p, s))
    ),
    "a picture lies on its side: rows and columns changed places (a permute or reshape too many)": lambda p, s: square(
        p, s
    ).transpose(1, 2),
    "a picture stands on its head, it is flipped": lambda p, s: square(p, s).flip(1),
    "red and blue changed places (BGR): expected the channel order red, green, blue": lambda p, s: square(p, s).flip(0),
    "a colour picture came back grey": lambda p, s: TF.rgb_to_grayscale(square(p, s), 3),
    "colours came back inverted": lambda p, s: 1 - square(p, s),
}

NEAR = 0.12  # ways of resizing differ less, pictures and looks more


def coarse(pictures: Tensor) -> Tensor:
    """[N, 3, S, S] as 8 x 8 patches, in which ways of resizing differ little."""
    return F.adaptive_avg_pool2d(pictures, 8)


def apart(a: Tensor, b: Tensor) -> Tensor:
    """[N, K]: the largest differences of patches between N pictures and K others, of which NaN counts as nothing."""
    return (a[:, None] - b).abs().nan_to_num(0).amax((2, 3, 4))


def standard(pictures: Tensor) -> Tensor:
    return (pictures - pictures.mean((1, 2, 3), keepdim=True)) / pictures.std((1, 2, 3), keepdim=True)


def looking(case: Case, looks: Iterable[Callable]) -> Tensor:
    """Coarse pictures of a case in some looks, each look with all pictures."""
    pictures = [drawn(*picture).convert("RGB") for _, *picture in case["pictures"]]
    return coarse(torch.stack([look(picture, case["image_size"]) for look in looks for picture in pictures]))


def recognised(images: Tensor, right: Tensor, case: Case) -> list[int]:
    """The numbers of a batch's pictures; refuses one that looks otherwise than it should."""
    got, n = coarse(images), len(CLASSES)
    distances, numbers = apart(got, right).min(1)
    for picture, coarsely in zip(images[distances > NEAR], got[distances > NEAR, None]):
        off, look = apart(coarsely, looking(case, WRONG.values())).min(1)
        require(off > NEAR, list(WRONG)[int(look) // n])
        reach = f"the colours of a picture reach {float(picture.max()):.2f}, as in none of the files: expected value / 255, not"
        recoloured = apart(standard(coarsely), standard(right[:n])).min() < 0.3
        require(not recoloured, f"{reach} normalised by mean or standard deviation, nor jittered")
        lost = "a picture is not the centre of its file: resize its short side to image_size, then CenterCrop, nothing random"
        require(False, lost)
    return [int(number) % n for number in numbers]


# -- the loader


def batch_of(batch: Any, size: int) -> tuple[Tensor, list]:
    """Images [B, 3, S, S] and as many labels of a batch."""
    pair = type(batch) in (tuple, list) and len(batch) == 2
    require(pair, f"a batch is a {kind_of(batch)}, expected a pair (images, labels)")
    images, labels = tensor(batch[0], "the batch of images"), batch[1]
    require(images.dim() != 3, f"it gives single pictures {shape(images)}: return a DataLoader over the data set")
    first = images.dim() == 4 and images.shape[-1] != 3
    require(first, f"images are {shape(images)}, expected [B, 3, {size}, {size}]: channels come before rows (ToTensor)")
    n, channels, *sides = images.shape
    require(channels == 3, f"images have {channels} channel(s), expected 3: greyscale and RGBA files become RGB")
    require(sides == [size, size], f"images are {sides[0]} x {sides[1]}, expected {size} x {size}: is image_size used?")
    require(images.dtype == torch.float32, f"images are {images.dtype}, expected torch.float32 in [0, 1] (ToTensor)")
    low, high = float(images.min()), float(images.max())
    require(high <= 1.01, f"values reach {high:.4g}, expected [0, 1]: pixels are still 0..255, divide by 255 (ToTensor)")
    require(low >= -0.01, f"values go down to {low:.3g}, expected [0, 1]: going to [-1, 1] is scale's job (no Normalize)")
    require(high > 0.02, f"values reach only {high:.2g}, expected [0, 1]: divided by 255 twice? ToTensor does it already")
    labels = labels.tolist() if isinstance(labels, Tensor) else labels
    counted = isinstance(labels, (list, tuple)) and all(isinstance(label, (int, float)) for label in labels)
    require(counted, "labels are no numbers, expected that of each picture's subfolder")
    require(len(labels) == n, f"there are {len(labels)} labels for {n} images")
    return images, list(labels)


def judge(case: Case, answer: Answer) -> None:
    require(answer["epochs"] is not None, "returned None: is the return statement missing?")
    batch_size, right = case["batch_size"], looking(case, RIGHT)
    total, full = len(CLASSES), len(CLASSES) // batch_size * batch_size
    orders, pairs = [], set()
    for batches in answer["epochs"]:
        found = [batch_of(batch, case["image_size"]) for batch in batches]
        sizes = [len(labels) for _, labels in found]
        held = f"the batches hold {str(sizes[:3])[1:-1]} pictures, expected {batch_size} and fewer only in the last one"
        full_ones = all(n == batch_size for n in sizes[:-1]) and max(sizes, default=0) <= batch_size
        require(full_ones, f"{held}: is batch_size used?")
        numbers = [number for images, _ in found for number in recognised(images, right, case)]
        twice = "a picture came twice in one epoch: drawn with replacement, expected every picture once (shuffle=True)"
        require(len(set(numbers)) == len(numbers), twice)
        require(
            len(numbers) >= full,
            f"an epoch has {len(numbers)} of {total} pictures, expected at least the {full} in full batches:"
            " does it read every class folder, and can it be run through again?",
        )
        orders.append(numbers)
        names = [CLASSES[number] for number in numbers]
        pairs |= set(zip(names, [label for _, labels in found for label in labels]))
    in_order = all(order == sorted(order) for order in orders)
    require(not in_order, "the pictures come in the order of the files: not shuffled (shuffle=True)")
    require(len(orders) == 3, "it has to be run through three times")
    require(not orders[0] == orders[1] == orders[2], "shuffled once: expected a new order in every epoch")
    require(
        len(pairs) == len({name for name, _ in pairs}) == len({label for _, label in pairs}),
        "labels do not tell the class folders apart: expected one number for each folder, the same in every epoch",
    )


# -- mistakes


def loading(look: Callable = square, **options: Any) -> Callable:
    """A loader of pictures in another look, or with other options of DataLoader."""

    def wrong(batch_size: int, image_size: int, data_dir: str) -> DataLoader:
        data = datasets.ImageFolder(data_dir, lambda picture: look(picture, image_size))
        return DataLoader(data, **{"batch_size": batch_size, "shuffle": True} | options)

    return wrong


def with_replacement(batch_size: int, image_size: int, data_dir: str) -> DataLoader:
    data = loading()(batch_size, image_size, data_dir).dataset
    return DataLoader(data, batch_size=batch_size, sampler=RandomSampler(data, replacement=True))


EXERCISE = Exercise(
    component="get_dataloader",
    chapter=1,
    place=3,
    minutes=20,
    difficulty=2,
    task="A folder of pictures as shuffled batches.",
    verified="2 sizes, square without distortion, RGB in [0, 1], shuffled anew, labels",
    reference=get_dataloader,
    cases=cases,
    probe=probe,
    judge=judge,
    refused=[
        *((text, loading(look)) for text, look in WRONG.items()),
        ("CenterCrop, nothing random", loading(lambda p, s: TF.to_tensor(transforms.RandomCrop(s)(TF.resize(p, s))))),
        ("then crop to a square", loading(lambda p, s: TF.to_tensor(TF.resize(p, s)))),
        ("going to [-1, 1] is scale's job", loading(lambda p, s: 2 * square(p, s) - 1)),
        ("pixels are still 0..255", loading(lambda p, s: 255 * square(p, s))),
        ("divided by 255 twice", loading(lambda p, s: square(p, s) / 255)),
        ("images are torch.uint8", loading(lambda p, s: (255 * square(p, s)).byte())),
        ("value / 255, not normalised by mean", loading(lambda p, s: 0.8 * square(p, s))),
        ("channels come before rows", loading(lambda p, s: square(p, s).permute(1, 2, 0))),
        ("expected 3: greyscale and RGBA files", loading(lambda p, s: square(p, s)[:1])),
        ("is image_size used", loading(lambda p, s: square(p, 64))),
        ("is batch_size used", loading(batch_size=16)),
        ("is ToTensor() among the transforms", loading(lambda p, s: p)),
        ("not shuffled", loading(shuffle=False)),
        ("drawn with replacement", with_replacement),
        ("return a DataLoader over the data set", lambda *arguments: loading()(*arguments).dataset),
        ("a batch is a Tensor", loading(collate_fn=lambda pairs: torch.stack([picture for picture, _ in pairs]))),
        ("can it be run through again", lambda *arguments: iter(loading()(*arguments))),
        ("shuffled once", lambda *arguments: list(loading()(*arguments))),
        ("is the return statement missing", lambda batch_size, image_size, data_dir: None),
    ],
    hints={
        r"ToTensor.*(takes|argument)": "write ToTensor() with brackets",
        r"batch must contain tensors.*PIL": "the data set gives pictures, not tensors: is ToTensor() among the transforms, and"
        " is transform=... given to ImageFolder?",
        r"stack expects.*\[[14], ": "greyscale and RGBA files have to become 3 channels: convert('RGB')",
        r"stack expects each tensor": "pictures of different sizes in one batch: resize the short side, then crop to a square",
        r"is not iterable": "return a DataLoader",
        r"worker|pickle": "keep num_workers=0",
    },
)

"""Teach the network of `facegen.data.visibility` from portraits and drawn faces: how the package's weights were made.

    python tools/train_visibility.py --portraits data/congress data/faker --out visibility.safetensors

The portraits are clean; shapes are painted over them at random, so it is known for every picture what is hidden.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter
from safetensors.torch import save_file
from tqdm.auto import tqdm

from facegen.data.drawn import ATTRIBUTE_NAMES, drawn
from facegen.data.faces import framed
from facegen.data.pictures import PICTURE_SUFFIXES
from facegen.data.visibility import SIDE, ZOOM, Visibility, standard
from facegen.files import InputError, replacing

EYE = (0.16, 0.09)  # half axes of what counts as an eye, in eye-to-mouth distances
MOUTH = (0.30, 0.13)
LEVEL = 0.5 - 0.1 * ZOOM / 3.6  # height of the eyes in the picture, as a share of its side
UNIT = ZOOM / 3.6  # an eye-to-mouth distance, as a share of the side
CENTRES = ((0.5 - 0.45 * UNIT, LEVEL), (0.5 + 0.45 * UNIT, LEVEL), (0.5, LEVEL + UNIT))
MIDDLE = (0.15, 0.5)  # a part that is hidden by a share between these is counted neither as hidden nor as seen

Portrait = tuple[np.ndarray, bool]  # uint8 [S, S, 3] in FFHQ framing; whether its eyes are behind dark glasses


def learn(
    portraits: Sequence[Portrait],
    steps: int,
    seed: int = 0,
    batch: int = 64,
    told: Callable[[float], None] | None = None,
) -> Visibility:
    """Teach a network from portraits, by covering parts of them with shapes, colours and pieces of each other.

    Args:
        portraits: uint8 [S, S, 3] each, in FFHQ framing, nothing hidden but eyes by dark glasses, and whether they are.
        steps: batches to learn from.
        seed: of all that is random.
        batch: pictures in each.
        told: called with the loss of every batch.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = Visibility()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in tqdm(range(steps), desc="Learning", unit="batch", disable=None):
        made = [example(rng, portraits) for _ in range(batch)]
        images = standard(torch.from_numpy(np.stack([image for image, _ in made])).permute(0, 3, 1, 2))
        hidden = torch.from_numpy(np.stack([share for _, share in made])).float()
        # [N, 3]: 1 where a part is seen, 0 where hidden; what is half hidden teaches nothing
        goal, counts = (hidden <= MIDDLE[0]).float(), ((hidden <= MIDDLE[0]) | (hidden >= MIDDLE[1])).float()
        loss = (F.binary_cross_entropy_with_logits(network(images), goal, reduction="none") * counts).sum() / counts.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if told is not None:
            told(float(loss.detach()))
    return network.eval()


def example(rng: np.random.Generator, portraits: Sequence[Portrait]) -> tuple[np.ndarray, np.ndarray]:
    """A crop as `seen` gets it, uint8 [64, 64, 3], and how much of each part is hidden, [3] in 0..1."""
    if rng.random() < 0.08:
        return _no_face(rng, portraits), np.ones(3)
    pixels, shades = portraits[rng.integers(len(portraits))]
    work = 3 * SIDE // 2  # FFHQ's square, so that the crop may move in it
    face = Image.fromarray(pixels).resize((work, work), Image.Resampling.BILINEAR)
    cover = Image.new("L", face.size)
    if rng.random() < 0.65:
        for _ in range(1 if rng.random() < 0.8 else 2):
            face, cover = _covered(rng, face, cover, portraits)
    hidden = np.array([_share(cover, i) for i in range(3)])
    if shades:
        hidden[:2] = 1
    crop = _photographed(rng, _moved(rng, face))
    if rng.random() < 0.5:
        crop, hidden = crop[:, ::-1], hidden[[1, 0, 2]]
    return np.ascontiguousarray(crop), hidden


def _place(part: int, side: int) -> tuple[float, float]:
    """The middle of a part in FFHQ's square of so many pixels."""
    x, y = CENTRES[part]
    return (0.5 + (x - 0.5) / ZOOM) * side, (0.5 + (y - 0.5) / ZOOM) * side


def _share(cover: Image.Image, part: int) -> float:
    """How much of a part lies under the cover."""
    (x, y), unit = _place(part, cover.width), cover.width / 3.6
    a, b = (length * unit for length in (MOUTH if part == 2 else EYE))
    values = np.asarray(cover, dtype=np.float32) / 255
    rows, columns = np.mgrid[: cover.height, : cover.width] + 0.5
    inside = ((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 < 1
    return float(values[inside].mean())


def _covered(rng, face: Image.Image, cover: Image.Image, others: Sequence[Portrait]) -> tuple[Image.Image, Image.Image]:
    """A random shape in a random filling over the face; `cover` collects what is hidden."""
    mask = Image.new("L", face.size)
    _shape(rng, mask)
    if rng.random() < 0.5:
        mask = mask.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.6)))
    opacity = 1.0 if rng.random() < 0.8 else rng.uniform(0.75, 1.0)
    seen_through = mask.point(lambda v: int(v * opacity))
    result = Image.composite(_filling(rng, face, others), face, seen_through)
    return result, Image.fromarray(np.maximum(np.asarray(cover), np.asarray(mask)))


def _shape(rng, mask: Image.Image) -> None:
    draw, side = ImageDraw.Draw(mask), mask.width
    unit = side / 3.6
    kind = rng.choice(["bar", "blob", "lenses", "visor", "fingers", "anywhere"], p=[0.25, 0.25, 0.2, 0.1, 0.1, 0.1])
    part = rng.integers(4)  # 3: both eyes
    eyes = [np.array(_place(i, side)) for i in (0, 1)]
    x, y = (eyes[0] + eyes[1]) / 2 if part == 3 else np.array(_place(part, side))
    x, y = x + rng.normal(0, 0.1) * unit, y + rng.normal(0, 0.07) * unit
    if kind == "lenses":
        a, b = rng.uniform(0.22, 0.45) * unit, rng.uniform(0.14, 0.36) * unit
        for i, (p, q) in enumerate(eyes):
            p += (2 * i - 1) * rng.uniform(0, 0.08) * unit
            box = (p - a, q - b + 0.04 * unit, p + a, q + b + 0.04 * unit)
            draw.ellipse(box, fill=255) if rng.random() < 0.6 else draw.rounded_rectangle(box, 0.1 * unit, fill=255)
        draw.line([tuple(eyes[0]), tuple(eyes[1])], fill=255, width=max(1, round(rng.uniform(0.02, 0.1) * unit)))
    elif kind == "visor":
        if part == 2:
            draw.rectangle((-side, y - rng.uniform(0.2, 0.6) * unit, 2 * side, 2 * side), fill=255)
        else:
            draw.rectangle((-side, -side, 2 * side, eyes[0][1] + rng.uniform(0.12, 0.5) * unit), fill=255)
    elif kind == "fingers":
        angle, thick = rng.uniform(0, math.pi), rng.uniform(0.16, 0.3) * unit
        along, step = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
        for i in np.arange(4) - 1.5:
            middle = np.array([x, y]) + i * 1.08 * thick * step
            ends = [tuple(middle - along * unit * rng.uniform(0.3, 1.0)), tuple(middle + along * unit * rng.uniform(0.3, 2.0))]
            draw.line(ends, fill=255, width=round(thick))
    else:
        wide = part >= 2
        a = rng.uniform(0.35, 1.3) * unit if wide else rng.uniform(0.2, 0.6) * unit
        b = rng.uniform(0.12, 0.55) * unit
        if part == 3:
            a = rng.uniform(0.65, 1.8) * unit
        if kind == "anywhere":  # forehead, cheeks, chin, beside the face: what hides nothing must not alarm
            x, y = rng.uniform(0.1, 0.9, 2) * side
            a, b = rng.uniform(0.1, 0.6, 2) * unit
        _turned(rng, draw, x, y, a, b, ellipse=kind != "bar", wobble=kind == "blob")


def _turned(rng, draw: ImageDraw.ImageDraw, x: float, y: float, a: float, b: float, ellipse: bool, wobble: bool) -> None:
    """A bar or a blob with half axes a and b, slightly turned."""
    angle = rng.normal(0, 0.2)
    t = np.linspace(0, 2 * math.pi, 40, endpoint=False)
    power = 1.0 if ellipse else 0.12  # a superellipse that is nearly a rectangle
    px, py = (np.sign(f(t)) * np.abs(f(t)) ** power for f in (np.cos, np.sin))
    reach = 1 + (0.15 * np.sin(rng.integers(2, 5) * t + rng.uniform(0, 6)) if wobble else 0)
    px, py = a * px * reach, b * py * reach
    points = np.stack([x + px * math.cos(angle) - py * math.sin(angle), y + px * math.sin(angle) + py * math.cos(angle)], 1)
    draw.polygon([tuple(point) for point in points], fill=255)


def _filling(rng, face: Image.Image, others: Sequence[Portrait]) -> Image.Image:
    """What covers: one colour, a shaded colour, the face's own skin, stripes, noise, or a piece of a picture."""
    kinds = ["flat", "shaded", "skin", "skin patch", "stripes", "picture"]
    side, kind = face.width, rng.choice(kinds, p=[0.2, 0.2, 0.2, 0.1, 0.1, 0.2])
    if kind == "picture":
        other = others[rng.integers(len(others))][0]
        n = rng.integers(other.shape[0] // 4, other.shape[0] + 1)
        x, y = rng.integers(0, other.shape[1] - n + 1), rng.integers(0, other.shape[0] - n + 1)
        return Image.fromarray(other[y : y + n, x : x + n]).rotate(90 * rng.integers(4)).resize((side, side))
    pixels = np.asarray(face)
    unit = side / 3.6
    if kind == "skin patch":  # the cheek or forehead itself, enlarged
        cx, cy = side / 2 + rng.choice([-0.5, 0.5]) * unit, side / 2 + rng.choice([-0.5, 0.35]) * unit
        n = rng.uniform(0.12, 0.22) * unit
        box = (round(cx - n), round(cy - n), round(cx + n) + 1, round(cy + n) + 1)
        return face.crop(box).resize((side, side), Image.Resampling.BICUBIC)
    colour = _colour(rng, pixels, skin=kind == "skin")
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    light = np.ones((side, side))
    if kind != "flat":
        gx, gy = rng.normal(0, 0.7, 2)
        light += gx * columns + gy * rows
        light += rng.uniform(0, 0.25) * np.sin(
            2 * math.pi * (rng.uniform(1, 5) * columns + rng.uniform(1, 5) * rows + rng.random())
        )
    if kind == "stripes":
        frequency, angle = rng.uniform(4, 20), rng.uniform(0, math.pi)
        wave = np.sin(2 * math.pi * frequency * (columns * math.cos(angle) + rows * math.sin(angle)))
        light += rng.uniform(0.1, 0.7) * (wave if rng.random() < 0.5 else np.sign(wave))
    values = colour * light[..., None]
    if rng.random() < 0.5:
        values = values + rng.normal(0, rng.uniform(1, 25), (side, side, 1 if rng.random() < 0.5 else 3))
    if rng.random() < 0.2:  # a gleam
        cx, cy, r = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), rng.uniform(0.02, 0.1)
        values = values + 200 * np.exp(-((columns - cx) ** 2 + (rows - cy) ** 2) / r**2)[..., None]
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _colour(rng, pixels: np.ndarray, skin: bool) -> np.ndarray:
    side = len(pixels)
    if skin:
        part = pixels[round(0.42 * side) : round(0.66 * side), round(0.35 * side) : round(0.65 * side)].reshape(-1, 3)
        return np.percentile(part, rng.uniform(30, 80), axis=0) * rng.uniform(0.8, 1.15)
    kind = rng.random()
    if kind < 0.4:
        return rng.uniform(0, 50) + rng.uniform(0, 15, 3)
    return np.full(3, rng.uniform(0, 255)) if kind < 0.6 else rng.uniform(0, 255, 3)


def _moved(rng, face: Image.Image) -> Image.Image:
    """A crop as landmarks would give that are slightly wrong, on a head that is slightly turned."""
    side, part = face.width, rng.random() < 0.85
    spread = 1.0 if part else 2.0
    angle, zoom = np.deg2rad(rng.normal(0, 5 * spread)), ZOOM * math.exp(rng.normal(0, 0.08 * spread))
    across = math.exp(rng.normal(0, 0.07))  # narrower or wider, as in a turned or a nodding head
    a, b, c, d = math.cos(angle) * across, -math.sin(angle), math.sin(angle) * across, math.cos(angle)
    scale = side / SIDE / zoom
    x, y = side / 2 + rng.normal(0, 0.025 * spread, 2) * side
    a, b, c, d = (value * scale for value in (a, b, c, d))
    matrix = (a, b, x - (a + b) * SIDE / 2, c, d, y - (c + d) * SIDE / 2)
    return face.transform((SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def _photographed(rng, crop: Image.Image) -> np.ndarray:
    """Blur, small size, noise, colour, light: what differs between photographs and hides nothing."""
    if rng.random() < 0.3:
        crop = crop.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 2.0)))
    if rng.random() < 0.25:
        n = rng.integers(20, SIDE)
        crop = crop.resize((n, n), Image.Resampling.BILINEAR).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    values = np.asarray(crop, dtype=np.float32)
    if rng.random() < 0.25:
        values = np.repeat(values @ np.float32([[0.299], [0.587], [0.114]]), 3, 2)
    values = 255 * (values / 255) ** math.exp(rng.normal(0, 0.3)) * rng.uniform(0.7, 1.15) + rng.normal(0, 6, 3)
    if rng.random() < 0.3:  # light from one side
        values = values * (1 + rng.normal(0, 0.4) * np.linspace(-1, 1, SIDE)[:, None]).clip(0.15, 2)
    if rng.random() < 0.3:
        values = values + rng.normal(0, rng.uniform(1, 10), values.shape)
    return values.clip(0, 255).astype(np.uint8)


def _no_face(rng, portraits: Sequence[Portrait]) -> np.ndarray:
    """A piece of a picture, noise, or a face that is upside down or lies on its side."""
    kind = rng.random()
    if kind < 0.5:
        face = Image.fromarray(portraits[rng.integers(len(portraits))][0])
        face = face.resize((96, 96)).rotate(90 * rng.integers(1, 4))
        return _photographed(rng, _moved(rng, face))
    if kind < 0.6:
        n = 2 ** rng.integers(2, 7)
        values = rng.uniform(0, 255, (n, n, 3)) if rng.random() < 0.5 else np.repeat(rng.uniform(0, 255, (n, n, 1)), 3, 2)
        return _photographed(rng, Image.fromarray(values.astype(np.uint8)).resize((SIDE, SIDE)))
    other = portraits[rng.integers(len(portraits))][0]
    n = rng.integers(other.shape[0] // 6, other.shape[0] // 3)
    x = rng.choice([0, other.shape[1] - n])  # beside the face, not on it
    y = rng.integers(0, other.shape[0] - n + 1)
    return _photographed(rng, Image.fromarray(other[y : y + n, x : x + n]).resize((SIDE, SIDE)))


def learned_from(folder: Path, leave_out: Path | None = None) -> list[Path]:
    """The portraits of a folder that are used for learning: four of five, and none that has a namesake in `leave_out`."""
    known = {file.stem for file in leave_out.iterdir()} if leave_out else set()
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in PICTURE_SUFFIXES]
    return [file for i, file in enumerate(files) if i % 5 and file.stem not in known]


def _framed_pictures(folders: Sequence[Path], leave_out: Path | None, side: int) -> list[np.ndarray]:
    files = [file for folder in folders for file in learned_from(folder, leave_out)]
    if not files:
        raise InputError(f"no pictures in {', '.join(map(str, folders))}: give folders of portraits in FFHQ framing")
    return [np.array(Image.open(file).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)) for file in files]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command that made the package's weights."""
    parser = argparse.ArgumentParser(description="Learn to see whether eyes and mouth are hidden.")
    parser.add_argument("--portraits", type=Path, nargs="+", required=True, metavar="DIR", help="portraits in FFHQ framing")
    parser.add_argument("--leave-out", type=Path, metavar="DIR", help="portraits with the names of files here are not used")
    parser.add_argument("--drawn", type=int, default=400, metavar="N", help="drawn faces beside them")
    parser.add_argument("--steps", type=int, default=3000, metavar="N", help="batches of 64")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is random")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .safetensors file")
    args = parser.parse_args(arguments)
    portraits = [(pixels, False) for pixels in _framed_pictures(args.portraits, args.leave_out, 128)]
    people = drawn(args.drawn, 128, seed=1000 + args.seed)
    shades = people.attributes["glasses"] == ATTRIBUTE_NAMES["glasses"].index("sunglasses")
    for image, points, dark in zip(people.images, people.landmarks, shades.tolist()):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        portraits.append((np.array(framed(picture, points, 128)[0]), dark))
    network = learn(portraits, args.steps, args.seed)
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    with replacing(args.out) as temporary:
        save_file(state, temporary)


if __name__ == "__main__":
    main()

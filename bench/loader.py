"""The packed data set against the textbook ImageFolder + DataLoader, in one run: images per second after the first epoch.

    python bench/loader.py                    # drawn faces, saved as JPEG files in a temporary folder
    python bench/loader.py --data FOLDER      # pictures of your own

Both sides deliver the same thing: float32 batches [B, 3, S, S] in [-1, 1], shuffled, half of them mirrored.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs without an installation

from facegen.data.loading import FlatFolder
from facegen.data.packed import load_faces

SECONDS = 3.0  # how long the fast side is timed


def textbook(folder: Path, size: int, batch: int, workers: int) -> DataLoader:
    """ImageFolder's own loading and the transforms of every tutorial."""
    prepare = transforms.Compose(
        [
            transforms.Resize(size),
            transforms.CenterCrop(size),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        ]
    )
    kind = FlatFolder if any(path.is_file() for path in folder.iterdir()) else torchvision.datasets.ImageFolder
    return DataLoader(kind(folder, prepare), batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def rate(batches: Iterator[Tensor], seconds: float, wait: Callable[[], None]) -> float:
    """Images per second of an iterator, for at least `seconds` or until it ends."""
    count, start = 0, time.perf_counter()
    for images in batches:
        count += len(images)
        if time.perf_counter() - start > seconds:
            break
    wait()
    return count / (time.perf_counter() - start)


def epoch(loader: DataLoader, device: torch.device) -> Iterator[Tensor]:
    for images, _ in loader:
        yield images.to(device)


def write_drawn(folder: Path, count: int, size: int, seed: int) -> None:
    """Drawn faces as JPEG files, in one class folder, as ImageFolder wants them."""
    from facegen.data.drawn import drawn

    (folder / "faces").mkdir(parents=True)
    for start in range(0, count, 256):
        images = drawn(min(256, count - start), size=size, seed=seed, start=start).images
        for i, pixels in enumerate(images.permute(0, 2, 3, 1).numpy()):
            Image.fromarray(np.ascontiguousarray(pixels)).save(folder / "faces" / f"{start + i:06d}.jpg", quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of pictures, flat or one subfolder per class")
    parser.add_argument("--count", type=int, default=2000, help="how many faces to draw without --data (default 2000)")
    parser.add_argument("--drawn-size", type=int, default=192, help="side of the drawn JPEG files (default 192)")
    parser.add_argument("--size", type=int, default=64, help="resolution to train at (default 64)")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["FACEGEN_CACHE"] = scratch
        if args.data is None:
            write_drawn(Path(scratch) / "drawn", args.count, args.drawn_size, args.seed)
        compare(args.data or Path(scratch) / "drawn", args, scratch)


def compare(folder: Path, args: argparse.Namespace, scratch: str) -> None:
    device = torch.device(args.device)
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    start = time.perf_counter()
    faces = load_faces(folder, args.size).to(device)
    first = time.perf_counter() - start
    start = time.perf_counter()
    load_faces(folder, args.size)
    again = time.perf_counter() - start
    print(f"{len(faces):,} pictures at {args.size} px, batch {args.batch}, seed {args.seed}, {machine(device)}")
    print(f"packed, decoding once         {len(faces) / first:10,.0f} images/s   ({first:.2f} s; later starts {again:.2f} s)")
    rate(faces.loader(args.batch, seed=args.seed, mirror=True), 0.5, wait)
    ours = rate(faces.loader(args.batch, seed=args.seed, mirror=True), SECONDS, wait)
    print(f"packed, every epoch after     {ours:10,.0f} images/s")
    for workers in (0, 2):
        loader = textbook(folder, args.size, args.batch, workers)
        rate(epoch(loader, device), float("inf"), wait)  # the first epoch fills the file cache and starts the workers
        theirs = rate(epoch(loader, device), float("inf"), wait)
        print(f"DataLoader, {workers} workers         {theirs:10,.0f} images/s   packed is {ours / theirs:.0f} times as fast")


def machine(device: torch.device) -> str:
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} thread(s)"
    return f"{platform.machine()} with {os.cpu_count()} cores, {where}, torch {torch.__version__}"


if __name__ == "__main__":
    main()

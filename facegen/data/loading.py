"""The textbook way to load pictures, which notebook 01 has the learner write: scale, unscale and a DataLoader.

Training uses `facegen.data.packed`, which does the same work once instead of in every epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import is_image_file

from facegen.files import InputError


def scale(x: Tensor, feature_range: tuple[float, float] = (-1, 1)) -> Tensor:
    """Map [0, 1] linearly onto `feature_range`: the range of a generator's tanh by default.

    Args:
        x: float tensor of any shape, values in [0, 1].
        feature_range: (lowest, highest) of the result.
    """
    low, high = feature_range
    return x * (high - low) + low


def unscale(x: Tensor, feature_range: tuple[float, float] = (-1, 1)) -> Tensor:
    """The inverse of `scale`: map `feature_range` back onto [0, 1], as pictures are shown."""
    low, high = feature_range
    return (x - low) / (high - low)


def get_dataloader(batch_size: int, image_size: int, data_dir: str | Path) -> DataLoader:
    """Shuffled batches of the pictures below a folder.

    Args:
        batch_size: pictures per batch; the last batch of an epoch may be smaller.
        image_size: side S of the squares, in pixels. Pictures of another shape lose what stands over at the longer
            side; nothing is stretched.
        data_dir: a folder with one subfolder per class, or with the pictures themselves, which then have class 0.

    Returns:
        A DataLoader of (images float32 [B, 3, S, S] in [0, 1], labels int64 [B]).
    """
    prepare = transforms.Compose(
        [
            transforms.Resize(image_size),  # one number: the shorter side; a pair would distort
            transforms.CenterCrop(image_size),
            transforms.ToTensor(),
        ]
    )
    # No worker processes: they cost a start-up per epoch and break in notebooks on Windows and macOS.
    return DataLoader(_dataset(Path(data_dir), prepare), batch_size=batch_size, shuffle=True, num_workers=0)


def _dataset(folder: Path, transform: Callable) -> ImageFolder:
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give one with pictures, or with one subfolder of them per class")
    try:
        flat = any(is_image_file(path.name) for path in folder.iterdir() if path.is_file())
        return (FlatFolder if flat else ImageFolder)(folder, transform)
    except FileNotFoundError as error:  # its message runs over several lines
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{folder} has no pictures to load ({reason}): give a folder with JPEG or PNG files") from None


class FlatFolder(ImageFolder):
    """The pictures in one folder, all of class 0: what ImageFolder refuses to read."""

    def find_classes(self, directory: str | Path) -> tuple[list[str], dict[str, int]]:
        return [Path(directory).name], {".": 0}

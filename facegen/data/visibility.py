"""Whether the eyes and the mouth of a face can be seen: a small network.

seen(image, landmarks)  # chances for the eye on the picture's left, the eye on its right, the mouth

The detector of `facegen.data.faces` finds a face behind sunglasses, a visor or a hand, and then guesses where the hidden
landmarks are. Nothing in its answer says that it guessed. This network looks at the face, brought to one place by the
landmarks, and says which of three parts it sees. It learned from clean portraits and drawn faces over which shapes were
painted at random, so it was known for every picture what was hidden (tools/train_visibility.py).
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

PARTS = ("left eye", "right eye", "mouth")
SHIPPED = Path(__file__).with_name("visibility.safetensors")
SIDE = 64  # of the pictures that the network sees
ZOOM = 1.5  # how many times tighter than FFHQ they are cut: from the brows to the chin, from ear to ear

_WIDTHS = (12, 24, 32, 32)


class Visibility(nn.Module):
    """Four convolutions and two linear layers, 36,000 weights.

    forward: float [N, 3, 64, 64], each picture with mean 0 and standard deviation 1 -> logits [N, 3], positive where the
    left eye, the right eye and the mouth are seen.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in _WIDTHS:
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
            before = width
        self.body = nn.Sequential(*layers)  # [N, 32, 4, 4]
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(16 * before, 32), nn.ReLU(), nn.Linear(32, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.body(images))


@functools.lru_cache(maxsize=1)
def load_visibility(path: str | Path | None = None) -> Visibility:
    """The network, ready to use, with the weights that come with the package or those of a file."""
    network = Visibility()
    state = load_file(SHIPPED if path is None else path)
    network.load_state_dict({name: value if value.dtype == torch.int64 else value.float() for name, value in state.items()})
    return network.eval().requires_grad_(False)


@torch.no_grad()
def seen(crops: Tensor, network: Visibility | None = None) -> Tensor:
    """The chances [N, 3] that the left eye, the right eye and the mouth of faces can be seen.

    Args:
        crops: uint8 [N, 3, S, S], faces framed as FFHQ does, `ZOOM` times tighter (`facegen.data.faces.framed`).
        network: another than the package's own.
    """
    network = network or load_visibility()
    both = torch.stack([crops, crops.flip(3)], 1).flatten(0, 1)
    chances = torch.sigmoid(network(standard(both))).unflatten(0, (-1, 2))
    return (chances[:, 0] + chances[:, 1][:, [1, 0, 2]]) / 2


def standard(crops: Tensor) -> Tensor:
    """uint8 [N, 3, S, S] -> float [N, 3, 64, 64], without the differences of exposure."""
    images = crops.float()
    if images.shape[2] != SIDE:
        images = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False)
    middle = images.mean((1, 2, 3), keepdim=True)
    return (images - middle) / images.std((1, 2, 3), keepdim=True).clamp(min=8.0)

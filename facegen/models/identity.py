"""Whose face it is, as a unit vector: the same person's pictures lie close together, other people's apart.

`load_identity` gives one of three embeddings, each differentiable in the pictures, so that a translation can be trained to
keep a person (`face_distance`) and judged by whether it did (`identity_similarity`):

- "drawn": a small network in this package that learned from drawn people only (`tools/train_identity.py`). It needs
  nothing from outside and no photograph of anyone, and it is weak on photographs: its model card has the numbers.
- a file of weights for facenet-pytorch's InceptionResnetV1 (Schroff, Kalenichenko and Philbin 2015, arXiv:1503.03832),
- face-api's face recognition model: a ResNet with 29 convolutions that dlib's author trained (King 2017), in the one file that
  tools/convert_face_api.py makes of face-api's.

The last two are the user's own files. Nothing is downloaded here, and no code in a file is run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from facegen.data.kinds import looks_like
from facegen.files import InputError, one_line
from facegen.models import foreign, pickles

Box = tuple[float, float, float, float]
"""left, top, right, bottom as shares of a picture's width and height."""

LEAST_SIDE = 32
FORMAT = "facegen-identity-1"
SHIPPED = Path(__file__).with_name("identity_drawn.safetensors")

FACE_API = "face-api"
MAX_OURS = 64 << 20  # bytes; the drawn one has 1 MB, face-api's 22 MB

UNDERSTOOD = (
    'give "drawn", a .pt file of facenet-pytorch\'s InceptionResnetV1, or what tools/convert_face_api.py makes of face-api\'s '
    "face_recognition_model"
)

# What each network sees of a picture in FFHQ framing. dlib's is the square with the best AUC on LFW (0.60 of the side; 0.56 and
# 0.66 are nearly as good, but a tenth of the picture higher it loses 0.05). facenet's networks were shown what MTCNN's box
# has, stretched to a square: this is its median on aligned portraits, widened by a margin of 14 in 160 pixels.
DRAWN_CROP: Box = (0.19, 0.23, 0.81, 0.85)
DRAWN_SIDE = 48
DLIB_CROP: Box = (0.2, 0.305, 0.8, 0.905)
FACENET_CROP: Box = (0.19, 0.14, 0.79, 0.96)


class FaceEmbedding(nn.Module):
    """Pictures of faces to unit vectors. In evaluation mode for ever, with frozen weights: `train()` changes nothing.

    name: which embedding it is. dims: the vectors' length. crop: the part of the picture that it looks at. size: the side in
    pixels to which that part is resized.
    """

    def __init__(self, name: str, net: nn.Module, *, crop: Box, size: int, mean: tuple[float, ...], scale: float) -> None:
        """net: pictures [N, 3, size, size] to [N, dims]; its input is (pictures in 0..255 - mean) / scale."""
        super().__init__()
        self.name, self.crop, self.size = name, crop, size
        self.net = net
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None], persistent=False)
        self.scale = scale
        self.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> FaceEmbedding:
        """Stays in evaluation mode, as part of whatever network it becomes."""
        return super().train(False)

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors [N, dims], float32, for pictures [N, 3, H, W] in [-1, 1] and in FFHQ framing.

        All is computed in float32, inside autocast too: small differences between embeddings are what is learned from.
        """
        _check_pictures(images)
        with torch.autocast(images.device.type, enabled=False):
            seen = resize(images.float(), self.crop, self.size)
            return F.normalize(self.net(((seen + 1) * 127.5 - self.mean) / self.scale).float(), dim=1)


def identity_similarity(embed: Callable[[Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    """Cosines [N] between the faces in a and b, [N, 3, H, W] in [-1, 1]: 1 is the same vector, near 0 another person.

    What separates the same person from another differs between embeddings: see each one's numbers.
    """
    if len(a) != len(b):
        raise InputError(f"there are {len(a)} pictures on one side and {len(b)} on the other: give pairs")
    return (embed(a) * embed(b)).sum(1)


def face_distance(embed: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The function (before, after) -> 1 - mean cosine, a scalar in 0..2 with a graph: a loss that keeps the person."""

    def distance(before: Tensor, after: Tensor) -> Tensor:
        return 1 - identity_similarity(embed, before, after).mean()

    return distance


def _check_pictures(images: Tensor) -> None:
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise InputError(f"pictures are {images.dtype} {list(images.shape)}: they must be floats [N, 3, H, W] in [-1, 1]")
    if min(images.shape[2:]) < LEAST_SIDE:
        raise InputError(f"pictures of {images.shape[3]}x{images.shape[2]} are too small for a face: give {LEAST_SIDE} or more")


def resize(images: Tensor, crop: Box, size: int) -> Tensor:
    """The part `crop` of pictures [N, C, H, W] at size x size pixels, by a triangle filter that widens when it shrinks.

    Two matrix products: differentiable, equal on every device, and free of the random order of sums that a GPU's own
    resizing has in its backward pass.
    """
    left, top, right, bottom = crop
    rows = _triangles(images.shape[2], top, bottom, size, images.device)
    columns = _triangles(images.shape[3], left, right, size, images.device)
    return rows @ images @ columns.T


def _triangles(side: int, low: float, high: float, size: int, device: torch.device) -> Tensor:
    """float32 [size, side]: how much of each old pixel goes into each new one; rows sum to 1."""
    step = (high - low) * side / size  # old pixels from one new one to the next
    centres = low * side + step * (torch.arange(size, device=device, dtype=torch.float32) + 0.5)
    pixels = torch.arange(side, device=device, dtype=torch.float32) + 0.5
    weights = (1 - (pixels - centres[:, None]).abs() / max(1.0, step)).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


# --------------------------------------------------------------------------------------------------- drawn identities


class SmallFaceNet(nn.Module):
    """A residual network for faces of 48 pixels: [N, 3, 48, 48] to [N, dims].

    Each picture is brought to mean 0 and deviation 1 first, and the first half has instance norms beside batch norms (Pan,
    Luo, Shi and Tang 2018, arXiv:1807.09441): what a style of drawing changes, they take away. The last map is weighed place
    by place, not averaged (MobileFaceNets; Chen, Liu, Gao and Han 2018, arXiv:1804.07573): in a face, places mean something.
    """

    def __init__(self, width: int = 16, dims: int = 128) -> None:
        super().__init__()
        self.settings = {"width": width, "dims": dims}
        w = width
        self.stem = nn.Sequential(nn.Conv2d(3, w, 5, 2, 2, bias=False), nn.InstanceNorm2d(w, affine=True), nn.PReLU(w))
        self.blocks = nn.Sequential(  # sides: 24 -> 12 -> 12 -> 6 -> 6 -> 3
            _Residual(w, 2 * w, 2, True),
            _Residual(2 * w, 2 * w, 1, True),
            _Residual(2 * w, 4 * w, 2, False),
            _Residual(4 * w, 4 * w, 1, False),
            _Residual(4 * w, 6 * w, 2, False),
        )
        self.place = nn.Sequential(nn.Conv2d(6 * w, 6 * w, DRAWN_SIDE // 16, groups=6 * w, bias=False), nn.BatchNorm2d(6 * w))
        self.out = nn.Linear(6 * w, dims, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        middle = x.mean(dim=(1, 2, 3), keepdim=True)
        spread = (x - middle).square().mean(dim=(1, 2, 3), keepdim=True).add(1e-4).sqrt()
        return self.out(self.place(self.blocks(self.stem((x - middle) / spread))).flatten(1))


class _HalfInstance(nn.Module):
    """Instance norm for the first half of the channels, batch norm for the others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.instance = nn.InstanceNorm2d(channels // 2, affine=True)
        self.batch = nn.BatchNorm2d(channels - channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[1] // 2
        return torch.cat([self.instance(x[:, :half]), self.batch(x[:, half:])], 1)


class _Residual(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int, instance: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
            _HalfInstance(outside) if instance else nn.BatchNorm2d(outside),
            nn.PReLU(outside),
            nn.Conv2d(outside, outside, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outside),
        )
        same = stride == 1 and inside == outside
        self.skip = nn.Identity() if same else nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(inside, outside, 1, bias=False))
        self.act = nn.PReLU(outside)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.body(x) + self.skip(x))


def drawn_embedding(net: nn.Module, name: str = "drawn") -> FaceEmbedding:
    """The embedding that a `SmallFaceNet` makes."""
    return FaceEmbedding(name, net, crop=DRAWN_CROP, size=DRAWN_SIDE, mean=(127.5,) * 3, scale=127.5)


# ------------------------------------------------------------------------------------------------------ face-api, dlib

# name, channels in, channels out, whether it halves the picture
DLIB_BLOCKS = (
    *((f"conv32_{i}", 32, 32, False) for i in (1, 2, 3)),
    ("conv64_down", 32, 64, True),
    *((f"conv64_{i}", 64, 64, False) for i in (1, 2, 3)),
    ("conv128_down", 64, 128, True),
    *((f"conv128_{i}", 128, 128, False) for i in (1, 2)),
    ("conv256_down", 128, 256, True),
    *((f"conv256_{i}", 256, 256, False) for i in (1, 2)),
    ("conv256_down_out", 256, 256, True),
)


class DlibFaceNet(nn.Module):
    """dlib's face recognition network: [N, 3, 150, 150] to [N, 128]. Each convolution's scale and shift are in its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv32_down = nn.Conv2d(3, 32, 7, 2)
        self.blocks = nn.ModuleDict({name: _DlibBlock(i, o, down) for name, i, o, down in DLIB_BLOCKS})
        self.fc = nn.Linear(256, 128, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv32_down(x)), 3, 2)
        for block in self.blocks.values():
            x = block(x)
        return self.fc(x.mean(dim=(2, 3)))


class _DlibBlock(nn.Module):
    def __init__(self, inside: int, outside: int, down: bool) -> None:
        super().__init__()
        # dlib pads a convolution only if it does not stride.
        self.conv1 = nn.Conv2d(inside, outside, 3, 2, 0) if down else nn.Conv2d(inside, outside, 3, 1, 1)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1)
        self.down = down

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        if self.down:
            x = F.avg_pool2d(x, 2)
        # dlib adds maps of unlike sizes as if zeros followed the smaller one, in channels, rows and columns.
        most = [max(p, q) for p, q in zip(x.shape[1:], y.shape[1:])]
        return F.relu(_zeros_behind(x, most) + _zeros_behind(y, most))


def _zeros_behind(x: Tensor, shape: list[int]) -> Tensor:
    channels, rows, columns = (most - has for most, has in zip(shape, x.shape[1:]))
    return F.pad(x, (0, columns, 0, rows, 0, channels))


# ------------------------------------------------------------------------------------------------------------- facenet


def _load_facenet(path: Path) -> FaceEmbedding:
    with pickles.naming(path):
        # The outline finds hostile files before any weight is read; torch.load then reads nothing but tensors.
        found = foreign._outline(path)
        if type(found) is dict and type(found.get("state_dict")) is dict:
            found, inside = found["state_dict"], True
        else:
            inside = False
        pickles.need(foreign._is_state_dict(found), f"holds no state dict; {UNDERSTOOD}")
        with torch.device("meta"):
            net = _facenet()
        expected = net.state_dict()
        names = {name.removeprefix("module."): name for name in found}
        names = {ours: theirs for ours, theirs in names.items() if not ours.startswith("logits.")}
        odd = sorted(names.keys() ^ expected.keys()) or [n for n in names if found[names[n]].shape != expected[n].shape]
        where = one_line(odd[0], 80) if odd else ""
        pickles.need(not odd, f"is no InceptionResnetV1 of facenet-pytorch (it differs in {where}); {UNDERSTOOD}")
        try:
            read = torch.load(path, map_location="cpu", weights_only=True)
            read = read["state_dict"] if inside else read
            weights = {ours: read[theirs] for ours, theirs in names.items()}
            weights = {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}
            net.load_state_dict(weights, assign=True)
        except Exception as problem:  # of many kinds, over many lines
            raise pickles.Refused(f"is damaged: PyTorch refuses it ({type(problem).__name__})") from None
        fine = all(bool(value.isfinite().all()) for value in net.state_dict().values())
        pickles.need(fine, "has weights that are not finite; get it anew")
    return FaceEmbedding("facenet", net, crop=FACENET_CROP, size=160, mean=(127.5,) * 3, scale=128.0)


def _facenet() -> nn.Module:
    try:
        from facenet_pytorch import InceptionResnetV1
    except ImportError:
        raise InputError("a facenet embedding needs another package: pip install facenet-pytorch==2.5.3") from None
    return InceptionResnetV1(pretrained=None, classify=False)


# -------------------------------------------------------------------------------------------------------------- loading


def load_identity(name: str | Path = "drawn") -> FaceEmbedding:
    """An embedding, told apart by the file's content. Nothing is downloaded, and no code in a file is run.

    Args:
        name: "drawn" for the one in this package; or a file: weights that tools/train_identity.py or tools/convert_face_api.py
            wrote, or a state dict of facenet-pytorch's InceptionResnetV1, with or without its classification head.

    Returns:
        A `FaceEmbedding` on the CPU, frozen.

    Raises:
        InputError: none of these, damaged, or facenet-pytorch is needed and not installed.
    """
    if str(name) == "drawn":
        return _load_ours(SHIPPED)
    path = Path(name)
    if path.is_dir() or path.name.startswith("face_recognition_model"):
        how = f"python tools/convert_face_api.py {path} face-api.safetensors"
        raise InputError(f"{path}: face-api's files are read as one file: {how}; then give that file")
    try:
        with open(path, "rb") as file:
            start = file.read(16)
        if start.startswith((b"PK\x03\x04", b"\x80")):
            return _load_facenet(path)
        kind = looks_like(path)
        if start[8:9] == b"{" and path.stat().st_size > 8 + int.from_bytes(start[:8], "little"):
            return _load_ours(path)
    except OSError as error:
        raise InputError(f"{one_line(path)} cannot be read ({one_line(error.strerror or error, 80)}); {UNDERSTOOD}") from None
    raise InputError(f"{path} is no face embedding{f' but {kind}' if kind else ''}; {UNDERSTOOD}")


def _load_ours(path: Path) -> FaceEmbedding:
    """Weights in half or single precision, with JSON that says which network they are of."""
    with open(path, "rb") as file:
        data = file.read(MAX_OURS + 1)
    try:
        if len(data) > MAX_OURS:
            raise ValueError(f"more than {MAX_OURS:,} bytes")
        weights = load_safetensors(data)
        about = json.loads(json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"][FORMAT])
        with torch.device("meta"):
            net = DlibFaceNet() if about.get("network") == FACE_API else _small(about["settings"])
        net = net.to_empty(device="cpu")
        net.load_state_dict({key: value.float() if value.is_floating_point() else value for key, value in weights.items()})
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError, RecursionError, RuntimeError) as error:
        raise InputError(
            f"{path} is not an identity network of facegen, or is damaged ({one_line(error, 80)}); {UNDERSTOOD}"
        ) from None
    if not all(bool(value.isfinite().all()) for value in net.state_dict().values()):
        raise InputError(f"{path} has weights that are not finite: train it again, or get it anew")
    if isinstance(net, DlibFaceNet):
        # The means are those of dlib's input layer, red first. dlib then divides by 256, face-api by 255.
        return FaceEmbedding(FACE_API, net, crop=DLIB_CROP, size=150, mean=(122.782, 117.001, 104.298), scale=255.0)
    return drawn_embedding(net, "drawn" if path == SHIPPED else path.stem)


def _small(settings: dict[str, object]) -> SmallFaceNet:
    sizes = [settings["width"], settings["dims"]]
    if any(type(value) is not int or not 2 <= value <= most for value, most in zip(sizes, (64, 512))):
        raise ValueError("settings out of range")
    return SmallFaceNet(*sizes)

"""Turn face-api's face recognition model into one file that `facegen.models.identity.load_identity` reads.

    python tools/convert_face_api.py face-api/model face-api.safetensors

face-api keeps it as TensorFlow.js does: a manifest that names tensors, and files beside it that hold them, most of them
rounded to bytes. The network is dlib's (King 2017); each convolution's scale and shift go into its weights.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from facegen.files import InputError, replacing
from facegen.models.identity import DLIB_BLOCKS, FACE_API, FORMAT, DlibFaceNet

MANIFEST = "face_recognition_model-weights_manifest.json"
MAX_MANIFEST = 1 << 20  # bytes; face-api's has 20 kB
MAX_PARTS = 64  # files that one manifest names; face-api's are one or two


def convert(given: str | Path) -> DlibFaceNet:
    """The network of face-api's `face_recognition_model`.

    Args:
        given: the folder that holds it, also that of the npm package, or its weights manifest, or one of the files of weights.

    Raises:
        InputError: none of these, the manifest of another network, or files that do not hold what it says.
        OSError: a file cannot be read.
    """
    with torch.device("meta"):
        net = DlibFaceNet()
    layers = {"conv32_down": "conv32_down"}  # our convolution's name by the file's
    layers |= {f"{block}/{conv}": f"blocks.{block}.{conv}" for block, *_ in DLIB_BLOCKS for conv in ("conv1", "conv2")}
    expected = {"fc": (256, 128)}
    for theirs, ours in layers.items():
        out, inside, side, _ = net.get_submodule(ours).weight.shape
        expected |= {f"{theirs}/conv/filters": (side, side, inside, out)}
        expected |= {f"{theirs}/{name}": (out,) for name in ("conv/bias", "scale/weights", "scale/biases")}
    values = _read(_manifest(Path(given)), expected)
    state = {"fc.weight": values["fc"].T.contiguous()}
    for theirs, ours in layers.items():
        gain, shift = values[f"{theirs}/scale/weights"], values[f"{theirs}/scale/biases"]
        filters = values[f"{theirs}/conv/filters"].permute(3, 2, 0, 1)  # [h, w, in, out] -> [out, in, h, w]
        state[f"{ours}.weight"] = (filters * gain[:, None, None, None]).contiguous()
        state[f"{ours}.bias"] = values[f"{theirs}/conv/bias"] * gain + shift
    net.load_state_dict(state, assign=True)
    return net


def _manifest(given: Path) -> Path:
    if given.suffix == ".json":
        return given
    folder = given if given.is_dir() else given.parent
    for place in (folder, folder / "model"):  # the npm package has its models in a folder of that name
        if (place / MANIFEST).is_file():
            return place / MANIFEST
    raise InputError(f"{given}: there is no {MANIFEST} here: give face-api's folder of models")


def _read(path: Path, expected: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The float32 tensors of a TensorFlow.js weights manifest and the files beside it."""
    text = _bytes(path, MAX_MANIFEST)
    try:
        groups = json.loads(text.decode())
        entries = [(entry["name"], entry) for group in groups for entry in group["weights"]]
        parts = [name for group in groups for name in group["paths"]]
        shapes = {name: tuple(entry["shape"]) for name, entry in entries}
        kinds = [_stored(entry) for _, entry in entries]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f"{path} is not a weights manifest of TensorFlow.js: give face-api's folder of models") from None
    if shapes != expected or len(entries) != len(expected):
        raise InputError(f"{path} is the manifest of another network than face-api's face_recognition_model")
    total = sum(math.prod(shapes[name]) * kind.itemsize for (name, _), (kind, _, _) in zip(entries, kinds))
    data = b""
    for name in parts[:MAX_PARTS]:
        if not isinstance(name, str) or name in ("", "..") or Path(name).name != name or "\\" in name or "\0" in name:
            raise InputError(f"{path} names a file that is not beside it: get it anew")
        data += _bytes(path.with_name(name), total - len(data))
    if len(data) != total or len(parts) > MAX_PARTS:
        raise InputError(f"{path}: the weights beside it have {len(data):,} bytes, and it describes {total:,}; get them anew")
    values, at = {}, 0
    for (name, _), (kind, scale, low) in zip(entries, kinds):
        count = math.prod(shapes[name])
        with np.errstate(all="ignore"):  # what is not finite is refused below, in one line
            raw = (np.frombuffer(data, kind, count, at) * scale + low).astype(np.float32)
        values[name] = torch.from_numpy(raw.reshape(shapes[name]))
        at += count * kind.itemsize
    broken = next((name for name, value in values.items() if not value.isfinite().all()), None)
    if broken is not None:
        raise InputError(f"{path}: {broken} has values that are not finite; get the files anew")
    return values


def _stored(entry: dict) -> tuple[np.dtype, float, float]:
    """How a tensor is stored: type, scale and least value."""
    if entry["dtype"] != "float32":
        raise ValueError
    if "quantization" not in entry:
        return np.dtype("<f4"), 1.0, 0.0
    how = entry["quantization"]
    return {"uint8": np.dtype("u1"), "uint16": np.dtype("<u2")}[how["dtype"]], float(how["scale"]), float(how["min"])


def _bytes(path: Path, most: int) -> bytes:
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(f"{path} has more than {most:,} bytes, too many for what it should be")
    return data


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Turn face-api's face recognition model into one safetensors file.")
    parser.add_argument("source", type=Path, metavar="DIR|MANIFEST", help="face-api's folder of models")
    parser.add_argument("dest", type=Path, metavar="FILE.safetensors", help="what to write")
    args = parser.parse_args(arguments)
    try:
        net = convert(args.source)
        with replacing(args.dest) as temporary:
            save_file(net.state_dict(), temporary, {FORMAT: json.dumps({"network": FACE_API})})
    except (InputError, OSError) as error:
        print(f"convert_face_api: {error}", file=sys.stderr)
        return 2
    print(f"{args.dest}: give it as --face-model or to load_identity")
    return 0


if __name__ == "__main__":
    sys.exit(main())

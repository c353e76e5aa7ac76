"""A file that is not what was asked for is told by what it is, in one line, whichever reader gets it and whatever its name."""

import gzip
import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from facegen.data.archives import extract
from facegen.data.kinds import looks_like
from facegen.data.pictures import Source
from facegen.files import InputError
from facegen.latent.edit import load_directions
from facegen.latent.project import load_latents
from facegen.models.identity import load_identity
from facegen.models.pretrained import load


def written(write, *args, **kwargs) -> bytes:
    buffer = io.BytesIO()
    write(buffer, *args, **kwargs)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return buffer.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 300000\n"
FILES = {
    "git-lfs": (POINTER, "a git-lfs pointer: fetch the file itself with `git lfs pull`"),
    "page": (b"\r\n <!DOCTYPE html><title>Log in</title>" + bytes(99), "a web page: an error, or a login is needed"),
    "xml": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "a web page"),
    "empty": (b"", "an empty file"),
    "gzip": (gzip.compress(b"weights"), "a gzip archive"),
    "tar": (b"a.txt".ljust(257, b"\0") + b"ustar" + bytes(600), "a tar archive"),
    "png": (written(Image.new("RGB", (4, 4)).save, "PNG"), "a picture"),
    "jpeg": (written(Image.new("RGB", (4, 4)).save, "JPEG"), "a picture"),
    "bmp": (written(Image.new("RGB", (4, 4)).save, "BMP"), "a picture"),
    "json": (b'{"error": "not found"}', "JSON text"),
    "text": ("Größe: siehe unten\n".encode() * 50, "plain text"),
    "onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.6.0" + bytes(range(99)), "a model in protobuf, as ONNX and TensorFlow write"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(99), "a model of TensorFlow Lite"),
    "array": (written(np.save, np.zeros(3)), "a NumPy array"),
    "rubbish": (bytes(range(200, 256)) * 9, ""),
}
READERS = {
    **{f"network{suffix}": (load, suffix) for suffix in (".pkl", ".pt", ".pth", ".safetensors")},
    "face model": (load_identity, ".pt"),
    "archive": (lambda path: extract(path, path.parent), ".zip"),
    "pictures": (Source, ".zip"),
    "latents": (load_latents, ".npz"),
    "directions": (load_directions, ".npz"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_says_what_the_file_looks_like(tmp_path, reader, name):
    content, kind = FILES[name]
    read, suffix = READERS[reader]
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert kind in message and "instruction" not in message and message.startswith(str(path))
    assert message.isprintable() and len(message) < 500


def test_what_is_read_is_told_apart(tmp_path):
    older = {"_use_new_zipfile_serialization": False}
    kinds = {
        "a zip archive": (zipped(), written(lambda file: torch.save({}, file))),
        "a safetensors file": (save({"a": torch.zeros(2)}),),
        "a pickle, as Python and PyTorch write": (written(lambda file: torch.save({}, file, **older)),),
    }
    for kind, contents in kinds.items():
        for content in contents:
            (tmp_path / "file").write_bytes(content)
            assert looks_like(tmp_path / "file") == kind

"""What a file is, whatever its name says: by how it begins. For messages about files that are not what was asked for."""

from __future__ import annotations

import re
from pathlib import Path

# How each kind begins, and what to call it. The first that fits counts.
_KINDS = [
    (rb"version https://git-lfs", "a git-lfs pointer: fetch the file itself with `git lfs pull`"),
    (rb"\s*<(!doctype|html|head|\?xml)", "a web page: an error, or a login is needed; open the address in a browser"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|BM.{4}\0\0|II\*\0|MM\0\*|RIFF.{4}WEBP", "a picture"),
    (rb"PK\x03\x04|PK\x05\x06", "a zip archive"),
    (rb"\x1f\x8b", "a gzip archive"),
    (rb"BZh\d1AY", "a bzip2 archive"),
    (rb"\xfd7zXZ\0", "an xz archive"),
    (rb"7z\xbc\xaf|Rar!", "a 7z or rar archive"),
    (rb".{257}ustar", "a tar archive"),
    (rb"%PDF|%!PS", "a document in PDF or PostScript"),
    (rb"\x89HDF", "an HDF5 file, as Keras writes"),
    (rb"....TFL3", "a model of TensorFlow Lite"),
    (rb"\x08[\x01-\x20][\x12\x1a\x22]", "a model in protobuf, as ONNX and TensorFlow write"),
    (rb"\x93NUMPY", "a NumPy array"),
    (rb".{7}\0\{\"", "a safetensors file"),
    (rb"\x80[\x02-\x05]", "a pickle, as Python and PyTorch write"),
    (rb"\(+(c\w|[dl]p\d|S')|c[\w.]+\n\w+\n", "a pickle in an old form; nothing in it was run"),
    (rb"\s*[{\[]\s*[{\[\"\]}\d]", "JSON text"),
]


def looks_like(what: str | Path | bytes) -> str:
    """ "a web page: ...", "an empty file", ...: what to do may follow. "" where its beginning says nothing.

    Args:
        what: a file's path, or its content.

    Raises:
        OSError: the file cannot be read.
    """
    if isinstance(what, bytes):
        start = what[:512]
    else:
        with open(what, "rb") as file:
            start = file.read(512)
    if not start:
        return "an empty file"
    for pattern, kind in _KINDS:
        if re.match(pattern, start, re.DOTALL | re.IGNORECASE):
            return kind
    text = start.decode("utf-8", "ignore")
    whole = len(text.encode()) > len(start) - 4  # the last letter may be cut in two
    return "plain text" if whole and all(letter.isprintable() or letter.isspace() for letter in text) else ""


def seems(path: str | Path) -> str:
    """ "; it looks like a web page: ..." behind what a library said of a file; "" where nothing more can be said."""
    try:
        kind = looks_like(path)
    except OSError:
        return ""
    return f"; it looks like {kind}" if kind else ""

"""Faces: drawn by code, fetched with their terms and checksums, and packed into one tensor."""

from facegen.data.drawn import ATTRIBUTE_NAMES, DrawnFaces, drawn
from facegen.data.loading import get_dataloader, scale, unscale
from facegen.data.packed import Faces, batch_indices, load_faces, mirror_flags, pack

__all__ = [
    "ATTRIBUTE_NAMES",
    "DrawnFaces",
    "Faces",
    "batch_indices",
    "drawn",
    "get_dataloader",
    "load_faces",
    "mirror_flags",
    "pack",
    "scale",
    "unscale",
]

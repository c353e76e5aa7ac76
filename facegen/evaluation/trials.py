"""What compare and search do alike: train runs to be measured, and keep a folder to one comparison or one search."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from facegen.config import YES_NO
from facegen.data.packed import Faces
from facegen.files import InputError, write_text
from facegen.models import pretrained
from facegen.training.fit import fit
from facegen.training.steps import GAN
from facegen.training.stylegan import StyleGAN

# Steps between two lines of a run's log: a whole number of all lazy penalties, so that every line has its share of them.
LOG_EVERY = 16
FOLLOWED = 16  # fixed z's whose pictures a run keeps


def train_measured(
    method: GAN | StyleGAN,
    faces: Faces,
    folder: Path,
    parts: int,
    *,
    keep_networks: int = 0,
    on_snapshot: Callable | None = None,
    progress: bool | None = None,
) -> None:
    """Train a run to its end, or go on with it, with snapshots after each of `parts` equal parts.

    Snapshots are without D, which measuring does not need. The parts' length is rounded up to whole steps, or the last step
    would have a snapshot beside the end's.

    Args:
        keep_networks: as for `fit`.
        on_snapshot: called after each; what it raises ends the run.
        progress: as for `fit`.
    """
    config = method.config
    method.export = lambda path, info: pretrained.save(path, method.G_ema, None, info)
    fit(
        method,
        faces,
        folder,
        snap_kimg=math.ceil(config.steps / parts) * config.images_per_step / 1000,
        samples=FOLLOWED,
        keep="last:1",
        keep_networks=keep_networks,
        log_every=LOG_EVERY,
        on_snapshot=on_snapshot,
        progress=progress,
    )


def setting_value(flag: str, text: str, config: object, name: str, value: str) -> object:
    """What was typed for a setting, as that setting's type.

    Raises:
        InputError: it is no value for it; `flag` and `text` say where.
    """
    kind = type(getattr(config, name))
    try:
        if kind is bool:
            return YES_NO[value.lower()]
        return kind(value)
    except (KeyError, ValueError):
        raise InputError(f"{flag} {text!r}: {value!r} is no value for {name}, which is of type {kind.__name__}") from None


def refuse_another(outdir: Path, what: str, was: Mapping[str, object], now: Mapping[str, object]) -> None:
    """Refuse to go on in the folder of another comparison or search, whose numbers would not compare.

    Args:
        what: "comparison" or "search".
        was, now: flag -> value; that of --data is the pictures' hash.
    """
    for flag in dict.fromkeys([*now, *was]):
        before, after = was.get(flag), now.get(flag)
        if before != after:
            how = f"{flag}={before}, not {after}" if flag != "--data" else "other pictures"
            where = "on" if flag == "--data" else "with"
            raise InputError(f"{outdir} holds a {what} {where} {how}: give the same to go on, or choose another folder")


def check_folder(outdir: Path, mark: str, what: str) -> None:
    """Refuse a folder that holds something, and not a comparison or search, which `mark` is the file of."""
    there = {path.name for path in outdir.iterdir() if not path.name.startswith(".")} if outdir.is_dir() else set()
    if there and mark not in there:
        raise InputError(f"{outdir} is not empty and holds no {what}: choose another folder")


def read_json(path: Path) -> dict:
    """A file that holds a JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{path} is damaged: remove it or choose another folder")
    return found


def write_json(path: Path, value: object) -> None:
    """Write JSON, completely or not at all."""
    write_text(path, json.dumps(plain(value), indent=1, allow_nan=False) + "\n")


def plain(value: object) -> object:
    """As JSON holds it, which has no NaN: null stands for it."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
